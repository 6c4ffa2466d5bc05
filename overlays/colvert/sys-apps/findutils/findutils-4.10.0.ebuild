# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

DESCRIPTION="Find files and run commands on them: find and xargs"
HOMEPAGE="https://www.gnu.org/software/findutils/"
SRC_URI="
	https://ftp.gnu.org/gnu/${PN}/${P}.tar.xz
	mirror://debian/pool/main/f/${PN}/${PN}_${PV}.orig.tar.xz -> ${P}.tar.xz
"

LICENSE="GPL-3+"
SLOT="0"
KEYWORDS="amd64"

src_configure() {
	local myeconfargs=(
		--disable-nls
		--disable-rpath
		# What cannot be run in cross mode works in this C library; no need for gnulib's own.
		--enable-cross-guesses=risky
		--without-selinux
	)
	colvert-autotools_src_configure
}

src_install() {
	colvert-autotools_src_install
	# locate's database needs a timer to be of use, and nothing here wants it.
	rm -r "${ED}"/usr/bin/{locate,updatedb} "${ED}"/usr/libexec || die
}
