# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

MY_P="${PN}-${PV/_p/-}"

DESCRIPTION="Terminal handling library, and the terminals that a server meets"
HOMEPAGE="https://invisible-island.net/ncurses/"
SRC_URI="
	https://invisible-island.net/archives/ncurses/current/${MY_P}.tgz
	mirror://debian/pool/main/n/ncurses/ncurses_${PV/_p/+}.orig.tar.gz -> ${MY_P}.tgz
"
S="${WORKDIR}/${MY_P}"

LICENSE="MIT"
SLOT="0/6"
KEYWORDS="amd64"
IUSE="static-libs"

# tic of the build machine compiles the terminal descriptions.
BDEPEND="dev-build/make >=sys-libs/ncurses-6.5 virtual/pkgconfig"

TERMINALS=(
	ansi dumb linux screen screen-256color tmux tmux-256color vt100 vt220 xterm xterm-256color
)

src_configure() {
	local myeconfargs=(
		$(use_with static-libs normal)
		--with-shared
		--without-debug
		--without-ada
		--without-cxx
		--without-cxx-binding
		--without-manpages
		--without-tests
		--enable-overwrite
		--enable-widec
		--enable-pc-files
		--with-pkg-config-libdir="${EPREFIX}/usr/$(get_libdir)/pkgconfig"
		--with-terminfo-dirs="${EPREFIX}/etc/terminfo:${EPREFIX}/usr/share/terminfo"
		--with-default-terminfo-dir="${EPREFIX}/usr/share/terminfo"
		--disable-db-install
		--disable-stripping
		--disable-termcap
		--with-build-cc=gcc
		# The linker's flags are of no concern to what links with the library.
		--disable-pkg-ldflags
	)
	colvert-autotools_src_configure
}

src_install() {
	local lib terminals
	emake DESTDIR="${D}" install.libs install.progs install.includes
	# There is only the wide library; programs that ask for the other name get it too.
	for lib in form menu ncurses panel; do
		dosym "lib${lib}w.so" "/usr/$(get_libdir)/lib${lib}.so"
		dosym "${lib}w.pc" "/usr/$(get_libdir)/pkgconfig/${lib}.pc"
	done
	dosym libncursesw.so "/usr/$(get_libdir)/libcurses.so"

	printf -v terminals '%s,' "${TERMINALS[@]}"
	dodir /usr/share/terminfo
	tic -x -o "${ED}/usr/share/terminfo" -e "${terminals%,}" misc/terminfo.src || die "tic failed"
	colvert_drop_archives
}
