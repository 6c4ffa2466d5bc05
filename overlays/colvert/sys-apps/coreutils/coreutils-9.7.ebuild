# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

DESCRIPTION="Basic file, text and shell utilities of the GNU system"
HOMEPAGE="https://www.gnu.org/software/coreutils/"
SRC_URI="
	https://ftp.gnu.org/gnu/${PN}/${P}.tar.xz
	mirror://debian/pool/main/c/${PN}/${PN}_${PV}.orig.tar.xz -> ${P}.tar.xz
"

LICENSE="GPL-3+"
SLOT="0"
KEYWORDS="amd64"

src_configure() {
	# The compiler makes position independent programs by itself; asked for by name it would
	# override the -fPIC of stdbuf's library.
	local -x CFLAGS=${CFLAGS/-fPIE/}

	local myeconfargs=(
		--disable-acl
		--disable-libcap
		--disable-libsmack
		--disable-nls
		--disable-rpath
		--disable-xattr
		# What cannot be run in cross mode works in this C library; no need for gnulib's own.
		--enable-cross-guesses=risky
		--without-libgmp
		--without-openssl
		--without-selinux

		# One program of 1.2 MB with a hundred links to it instead of a hundred programs.
		--enable-single-binary=symlinks
		# util-linux has kill, procps has uptime.
		--enable-no-install-program=kill,uptime
	)
	colvert-autotools_src_configure
}
