# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

DESCRIPTION="Programs and libraries for ext2, ext3 and ext4 file systems"
HOMEPAGE="https://e2fsprogs.sourceforge.net/"
SRC_URI="
	https://www.kernel.org/pub/linux/kernel/people/tytso/${PN}/v${PV}/${P}.tar.gz
	mirror://debian/pool/main/e/${PN}/${PN}_${PV}.orig.tar.gz -> ${P}.tar.gz
"

LICENSE="GPL-2 BSD LGPL-2 MIT"
SLOT="0"
KEYWORDS="amd64"

DEPEND="
	sys-apps/util-linux
	sys-kernel/linux-headers
"
RDEPEND="sys-apps/util-linux"

src_configure() {
	local myeconfargs=(
		--enable-elf-shlibs
		--enable-symlink-install
		--enable-relative-symlinks
		--disable-libblkid
		--disable-libuuid
		--disable-uuidd
		--disable-fsck
		--disable-nls
		--disable-defrag
		--disable-e2initrd-helper
		--disable-fuse2fs
		--without-libarchive
		--with-udev-rules-dir=no
		--with-systemd-unit-dir=no
		--with-crond-dir=no
		--with-pthread
	)
	ac_cv_path_LDCONFIG=: colvert-autotools_src_configure
}

src_install() {
	emake V=1 DESTDIR="${D}" install
	colvert_drop_archives
	# Scrubbing wants LVM snapshots, compile_et and mk_cmds are of use to a compiler only.
	rm -f "${ED}"/usr/bin/{e2scrub,e2scrub_all,compile_et,mk_cmds} "${ED}"/etc/e2scrub.conf || die
	rm -rf "${ED}"/usr/share/{et,ss} || die
}
