# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

DESCRIPTION="Device-mapper library, dmsetup and the udev rules that go with them"
HOMEPAGE="https://sourceware.org/lvm2/"
# Upstream compresses the same tree with gzip.
SRC_URI="mirror://debian/pool/main/l/${PN}/${PN}_${PV}.orig.tar.xz -> ${P}.tar.xz"

LICENSE="GPL-2 LGPL-2.1"
SLOT="0"
KEYWORDS="amd64"

DEPEND="
	sys-apps/util-linux
	sys-kernel/linux-headers
"
RDEPEND="sys-apps/util-linux"

src_configure() {
	# libudev is systemd's, systemd needs cryptsetup, and cryptsetup needs this library.
	# Without libudev it makes its nodes itself and waits for nobody; its uevents carry
	# the flags that the udev rules look for all the same.
	local myeconfargs=(
		--with-usrlibdir="${EPREFIX}/usr/lib"
		--with-usrsbindir="${EPREFIX}/usr/bin"
		--with-udevdir="${EPREFIX}/usr/lib/udev/rules.d"
		--with-default-run-dir=/run/lvm
		--with-default-locking-dir=/run/lock/lvm
		--with-default-pid-dir=/run
		--with-default-dm-run-dir=/run
		--enable-pkgconfig
		--enable-udev_rules
		--disable-udev_sync
		--without-systemd
		--disable-systemd-journal
		--disable-app-machineid
		--disable-dmeventd
		--disable-nls
		--disable-readline
		--disable-editline
		--disable-selinux
		--disable-blkid_wiping
		--without-libnvme
		--with-cache=none
		--with-integrity=none
		--with-thin=none
		--with-vdo=none
		--with-writecache=none
	)
	# cross mode must guess that malloc(0) works, and guesses that it does not
	ac_cv_func_malloc_0_nonnull=yes ac_cv_func_realloc_0_nonnull=yes \
		colvert-autotools_src_configure
}

src_compile() {
	emake device-mapper
	# udevd has blkid built in; configure sees that only where libudev is installed
	emake -C udev BLKID_RULE='IMPORT{builtin}=\"blkid\"' all
	grep -q '^IMPORT{builtin}="blkid"$' udev/13-dm-disk.rules || die "rule without builtin"
}

src_install() {
	# Its install targets link again what they install, several at once.
	emake -j1 DESTDIR="${D}" install_device-mapper
	emake -j1 -C udev DESTDIR="${D}" install_device-mapper
	colvert_drop_archives
}
