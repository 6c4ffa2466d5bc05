# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

DESCRIPTION="Stream editor"
HOMEPAGE="https://www.gnu.org/software/sed/"
SRC_URI="
	https://ftp.gnu.org/gnu/${PN}/${P}.tar.xz
	mirror://debian/pool/main/s/${PN}/${PN}_${PV}.orig.tar.xz -> ${P}.tar.xz
"

LICENSE="GPL-3+"
SLOT="0"
KEYWORDS="amd64"

src_configure() {
	local myeconfargs=(
		--disable-acl
		--disable-nls
		--disable-rpath
		# What cannot be run in cross mode works in this C library; no need for gnulib's own.
		--enable-cross-guesses=risky
		--without-selinux
	)
	colvert-autotools_src_configure
}
