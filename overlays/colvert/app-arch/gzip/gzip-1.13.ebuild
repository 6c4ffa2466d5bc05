# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

DESCRIPTION="Compress and expand files in the gzip format"
HOMEPAGE="https://www.gnu.org/software/gzip/"
SRC_URI="
	https://ftp.gnu.org/gnu/${PN}/${P}.tar.xz
	mirror://debian/pool/main/g/${PN}/${PN}_${PV}.orig.tar.xz -> ${P}.tar.xz
"

LICENSE="GPL-3+"
SLOT="0"
KEYWORDS="amd64"

src_configure() {
	local myeconfargs=(
		# What cannot be run in cross mode works in this C library; no need for gnulib's own.
		--enable-cross-guesses=risky
	)
	colvert-autotools_src_configure
}
