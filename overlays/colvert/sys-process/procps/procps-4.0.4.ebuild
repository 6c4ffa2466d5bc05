# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

MY_P="${PN}-ng-${PV}"

DESCRIPTION="See and steer processes: ps, top, free, pgrep, sysctl, vmstat, watch"
HOMEPAGE="https://gitlab.com/procps-ng/procps"
SRC_URI="
	https://downloads.sourceforge.net/procps-ng/${MY_P}.tar.xz
	mirror://debian/pool/main/p/${PN}/${PN}_${PV}.orig.tar.xz -> ${MY_P}.tar.xz
"

LICENSE="GPL-2+ LGPL-2+ LGPL-2.1+"
SLOT="0/1-ng"
KEYWORDS="amd64"

DEPEND="sys-libs/ncurses"
RDEPEND="${DEPEND}"
BDEPEND="virtual/pkgconfig"

src_prepare() {
	colvert-autotools_src_prepare
	# There is one ncurses, the wide one, and its headers are where the others' would be.
	sed -i -e 's|<ncursesw/ncurses.h>|<ncurses.h>|' src/watch.c || die
}

src_configure() {
	# configure cannot run its test programs in cross mode; glibc has both as they should be.
	local -x ac_cv_func_malloc_0_nonnull=yes ac_cv_func_realloc_0_nonnull=yes
	local myeconfargs=(
		# util-linux has the kill that knows pidfds.
		--disable-kill
		--disable-nls
		--disable-numa
		--disable-rpath
		# w reads utmp, which nobody writes here; loginctl knows who is there.
		--disable-w
		--enable-watch8bit
		--without-elogind
		--without-systemd
	)
	colvert-autotools_src_configure
}

src_install() {
	colvert-autotools_src_install
	# One program, whose name says what it does. As two it has one build ID, and whose debug file
	# that leads to depends on which of them was stripped last.
	rm "${ED}/usr/bin/pkill" || die
	dosym pgrep /usr/bin/pkill
}
