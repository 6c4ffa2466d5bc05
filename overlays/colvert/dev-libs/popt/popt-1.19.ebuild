# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

DESCRIPTION="Parser of command line options"
HOMEPAGE="https://github.com/rpm-software-management/popt"
# Debian repacks popt without its non-free manual.
SRC_URI="mirror://debian/pool/main/p/popt/popt_${PV}+dfsg.orig.tar.xz -> ${P}.tar.xz"

LICENSE="MIT"
SLOT="0"
KEYWORDS="amd64"
IUSE="static-libs"

BDEPEND="dev-build/make"

src_configure() {
	local myeconfargs=(
		$(use_enable static-libs static)
		--disable-nls
	)
	colvert-autotools_src_configure
}
