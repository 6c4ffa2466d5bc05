# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

DESCRIPTION="Make archives in the tar format and unpack them"
HOMEPAGE="https://www.gnu.org/software/tar/"
# Debian takes the GFDL manual out; the programs are upstream's.
SRC_URI="mirror://debian/pool/main/t/tar/tar_${PV}+dfsg.orig.tar.xz -> ${P}+dfsg.tar.xz"

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
		--without-posix-acls
		--without-selinux
		--without-xattrs
	)
	colvert-autotools_src_configure
}

src_install() {
	colvert-autotools_src_install
	# rmt serves tape drives of other machines.
	rm -r "${ED}"/usr/libexec || die
}
