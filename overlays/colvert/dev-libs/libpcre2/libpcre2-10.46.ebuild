# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

MY_P="pcre2-${PV}"

DESCRIPTION="Regular expressions with the syntax of Perl 5"
HOMEPAGE="https://www.pcre.org/"
SRC_URI="
	https://github.com/PCRE2Project/pcre2/releases/download/${MY_P}/${MY_P}.tar.gz
	mirror://debian/pool/main/p/pcre2/pcre2_${PV}.orig.tar.gz -> ${MY_P}.tar.gz
"
S="${WORKDIR}/${MY_P}"

LICENSE="BSD"
SLOT="0/3"
KEYWORDS="amd64"
IUSE="+jit static-libs"

BDEPEND="dev-build/make"

src_configure() {
	local myeconfargs=(
		$(use_enable jit)
		$(use_enable static-libs static)
		--enable-pcre2-8
		--disable-pcre2-16
		--disable-pcre2-32
		--disable-pcre2grep-jit
	)
	colvert-autotools_src_configure
}

src_install() {
	colvert-autotools_src_install
	# A program that tests the library is of no use to who has only the library.
	rm -f "${ED}"/usr/bin/pcre2test || die
}
