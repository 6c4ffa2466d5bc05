# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

DESCRIPTION="Find processes by name and by open file: killall, fuser, pstree"
HOMEPAGE="https://gitlab.com/psmisc/psmisc"
SRC_URI="
	https://downloads.sourceforge.net/${PN}/${P}.tar.xz
	mirror://debian/pool/main/p/${PN}/${PN}_${PV}.orig.tar.xz -> ${P}.tar.xz
"

LICENSE="GPL-2+"
SLOT="0"
KEYWORDS="amd64"

DEPEND="sys-libs/ncurses"
RDEPEND="${DEPEND}"

src_configure() {
	local -x ac_cv_func_malloc_0_nonnull=yes ac_cv_func_realloc_0_nonnull=yes
	local myeconfargs=(
		# The profile has the flags already.
		--disable-harden-flags
		--disable-nls
		--disable-rpath
	)
	colvert-autotools_src_configure
}
