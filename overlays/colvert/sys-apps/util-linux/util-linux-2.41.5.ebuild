# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-meson

DESCRIPTION="Basic programs and libraries for block devices, mounts, namespaces and consoles"
HOMEPAGE="https://github.com/util-linux/util-linux"
SRC_URI="
	https://www.kernel.org/pub/linux/utils/${PN}/v${PV%.*}/${P}.tar.xz
	mirror://debian/pool/main/u/${PN}/${PN}_${PV}.orig.tar.xz -> ${P}.tar.xz
"

LICENSE="GPL-2 GPL-2+ GPL-3+ LGPL-2.1+ BSD BSD-2 ISC public-domain"
SLOT="0"
KEYWORDS="amd64"
IUSE="+caps"

DEPEND="
	sys-kernel/linux-headers
	sys-libs/libxcrypt
	sys-libs/ncurses
	caps? ( sys-libs/libcap-ng )
"
RDEPEND="
	sys-libs/libxcrypt
	sys-libs/ncurses
	caps? ( sys-libs/libcap-ng )
"
BDEPEND="
	app-alternatives/lex
	app-alternatives/yacc
"

src_configure() {
	# Everything is off that is not named here: what is automatic would depend on
	# what else the sysroot holds. login and su want PAM; shadow has a login without.
	local program emesonargs=(
		--auto-features disabled
		-Dprogram-tests=false
		-Dfs-search-path=/usr/bin
		-Duse-tty-group=false
		-Dtty-setgid=false
		-Dncursesw=enabled
		-Dwidechar=enabled
		$(meson_feature caps build-setpriv)
	)
	for program in \
		libblkid libuuid libmount libsmartcols libfdisk \
		agetty blkdiscard blockdev chcpu choom dmesg eject enosys fadvise fallocate \
		fdisks findfs findmnt flock fsck fsfreeze fstrim getopt hardlink hexdump hwclock \
		ipcmk ipcrm ipcs irqtop kill logger losetup lsblk lsclocks lsfd lsirq lslocks lslogins \
		lsmem lsns mcookie mkfs more mount mountpoint namei nologin nsenter partx pipesz pivot_root \
		rename rev rtcwake schedutils script setarch sulogin swapoff swapon switch_root \
		unshare utmpdump waitpid wdctl whereis wipefs zramctl
	do
		emesonargs+=( -Dbuild-${program}=enabled )
	done
	colvert-meson_src_configure
}

src_install() {
	colvert-meson_src_install
	# meson leaves a program out without a word when a library of it is not there.
	local program
	for program in agetty blkid dmesg findmnt hexdump losetup lsblk more mount setsid sfdisk; do
		[[ -x ${ED}/usr/bin/${program} ]] || die "${program} was not built"
	done
	# Nothing in the image is setuid; mounting is root's.
	fperms 0755 /usr/bin/{,u}mount
	sed -e 's,@sbindir@,/usr/bin,g' sys-utils/fstrim.service.in > "${T}"/fstrim.service || die
	insinto /usr/lib/systemd/system
	doins "${T}"/fstrim.service sys-utils/fstrim.timer
}
