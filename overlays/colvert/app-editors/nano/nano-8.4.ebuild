# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

DESCRIPTION="Small text editor that shows its own keys"
HOMEPAGE="https://www.nano-editor.org/"
SRC_URI="
	https://www.nano-editor.org/dist/v${PV%%.*}/${P}.tar.xz
	mirror://debian/pool/main/n/${PN}/${PN}_${PV}.orig.tar.xz -> ${P}.tar.xz
"

LICENSE="GPL-3+"
SLOT="0"
KEYWORDS="amd64"

DEPEND="sys-libs/ncurses"
RDEPEND="${DEPEND}"
BDEPEND="virtual/pkgconfig"

src_configure() {
	# The one check that has no guess for cross mode.
	local -x gl_cv_func_strcasecmp_works=yes
	local myeconfargs=(
		--disable-extra
		--disable-libmagic
		--disable-nls
		--disable-rpath
		--disable-speller
		# What cannot be run in cross mode works in this C library; no need for gnulib's own.
		--enable-cross-guesses=risky
		--enable-utf8
	)
	colvert-autotools_src_configure
}
