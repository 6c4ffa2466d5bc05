# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-meson

DESCRIPTION="System and service manager for Linux"
HOMEPAGE="https://systemd.io/"
SRC_URI="
	https://github.com/systemd/systemd/archive/refs/tags/v${PV}.tar.gz -> ${P}.tar.gz
	mirror://debian/pool/main/s/systemd/systemd_${PV}.orig.tar.gz -> ${P}.tar.gz
"

LICENSE="GPL-2+ LGPL-2.1+ MIT public-domain"
SLOT="0/2"
KEYWORDS="amd64"
IUSE="+boot +cryptsetup +curl +dns-over-tls +importd +kmod +lz4 +lzma +openssl +pcre +seccomp +zstd"
REQUIRED_USE="
	dns-over-tls? ( openssl )
	importd? ( curl lzma openssl )
"

# Libraries that systemd only opens when it needs them are dependencies like the rest.
DEPEND+="
	sys-apps/util-linux
	sys-kernel/linux-headers
	sys-libs/libcap
	sys-libs/libxcrypt
	cryptsetup? ( sys-fs/cryptsetup )
	curl? ( net-misc/curl )
	importd? ( sys-libs/zlib )
	kmod? ( sys-apps/kmod )
	lz4? ( app-arch/lz4 )
	lzma? ( app-arch/xz-utils )
	openssl? ( dev-libs/openssl )
	pcre? ( dev-libs/libpcre2 )
	seccomp? ( sys-libs/libseccomp )
	zstd? ( app-arch/zstd )
"
RDEPEND+="
	sys-apps/util-linux
	sys-libs/libcap
	sys-libs/libxcrypt
	cryptsetup? ( sys-fs/cryptsetup )
	curl? ( net-misc/curl )
	importd? ( sys-libs/zlib )
	kmod? ( sys-apps/kmod )
	lz4? ( app-arch/lz4 )
	lzma? ( app-arch/xz-utils )
	openssl? ( dev-libs/openssl )
	pcre? ( dev-libs/libpcre2 )
	seccomp? ( sys-libs/libseccomp )
	zstd? ( app-arch/zstd )
"
BDEPEND+="
	dev-lang/python
	dev-python/jinja2
	dev-util/gperf
	boot? ( dev-python/pyelftools )
"

PATCHES=(
	"${FILESDIR}/${P}-repart-disk-guid.patch"
	"${FILESDIR}/${P}-boot-refused-image.patch"
	"${FILESDIR}/${P}-stub-unsigned-words.patch"
)

src_prepare() {
	default
	# The account's number must not depend on which packages an image has.
	sed -i -e '/^u! systemd-coredump/s/ - / 194 /' sysusers.d/systemd-coredump.conf || die
	grep -q '^u! systemd-coredump 194 ' sysusers.d/systemd-coredump.conf || die
}

src_configure() {
	# Nobody interposes on systemd's own libraries. Calls inside them that need no symbol
	# make each of the many processes of a boot start faster, and so do packed relocations.
	CFLAGS+=" -fno-semantic-interposition"
	LDFLAGS+=" -Wl,-Bsymbolic-functions -Wl,-z,pack-relative-relocs"

	local emesonargs=(
		-Dmode=release
		-Dvcs-tag=false

		# one merged /usr, nothing of System V
		-Dsplit-bin=false
		-Dsysvinit-path=
		-Dsysvrcnd-path=
		-Drc-local=
		-Dutmp=false
		-Dgshadow=false
		-Dcompat-mutable-uid-boundaries=false

		# programs of the target, wherever the SDK has its own
		-Dquotaon-path=/usr/bin/quotaon
		-Dquotacheck-path=/usr/bin/quotacheck
		-Dkmod-path=/usr/bin/kmod
		-Dkexec-path=/usr/bin/kexec
		-Dsulogin-path=/usr/bin/sulogin
		-Dmount-path=/usr/bin/mount
		-Dumount-path=/usr/bin/umount
		-Dloadkeys-path=/usr/bin/loadkeys
		-Dsetfont-path=/usr/bin/setfont
		-Dnologin-path=/usr/bin/nologin

		# fixed numbers, Gentoo's
		-Dsystem-alloc-uid-min=101
		-Dsystem-uid-max=999
		-Dsystem-alloc-gid-min=101
		-Dsystem-gid-max=999
		-Dnobody-user=nobody
		-Dnobody-group=nobody
		-Dadm-gid=4
		-Dtty-gid=5
		-Ddisk-gid=6
		-Dlp-gid=7
		-Dkmem-gid=9
		-Dwheel-gid=10
		-Daudio-gid=18
		-Dcdrom-gid=19
		-Ddialout-gid=20
		-Dtape-gid=26
		-Dvideo-gid=27
		-Drender-gid=28
		-Dkvm-gid=78
		-Dinput-gid=97
		-Dusers-gid=100
		-Dsystemd-journal-gid=190
		-Dsystemd-network-uid=192
		-Dsystemd-resolve-uid=193
		-Dsystemd-timesync-uid=195
		-Dsgx-gid=405
		-Dutmp-gid=406

		# what a server's machine needs
		-Dinitrd=true
		-Defi=true
		-Dtpm=true
		-Dhostnamed=true
		-Dtimedated=true
		-Dtimesyncd=true
		-Dlogind=true
		-Dmachined=true
		-Dnetworkd=true
		-Dresolve=true
		-Dnss-myhostname=true
		-Dnss-mymachines=enabled
		-Dnss-resolve=enabled
		-Dnss-systemd=true
		-Drepart=enabled
		-Dsysupdate=$(usex openssl enabled disabled)
		-Dsysupdated=disabled
		-Dsysext=true
		-Dsysusers=true
		-Dtmpfiles=true
		-Dfirstboot=true
		-Dpstore=true
		-Dcoredump=true
		-Denvironment-d=true
		-Danalyze=true
		-Dblkid=enabled
		-Dfdisk=enabled

		# what it does not
		-Dbacklight=false
		-Dbinfmt=false
		-Dbpf-framework=disabled
		-Dhibernate=false
		-Dhomed=disabled
		-Dhwdb=false
		-Didn=false
		-Dima=false
		-Dkernel-install=false
		-Dldconfig=false
		-Dlocaled=false
		-Dmountfsd=false
		-Dnscd=false
		-Dnsresourced=false
		-Doomd=false
		-Dportabled=false
		-Dquotacheck=false
		-Drandomseed=false
		-Dremote=disabled
		-Drfkill=false
		-Dsmack=false
		-Dstoragetm=false
		-Duserdb=false
		-Dukify=disabled
		-Dvconsole=false
		-Dvmspawn=disabled
		-Dxdg-autostart=false

		# libraries
		$(meson_feature cryptsetup libcryptsetup)
		$(meson_feature curl libcurl)
		$(meson_feature importd)
		$(meson_feature importd zlib)
		$(meson_feature kmod)
		$(meson_feature lz4)
		$(meson_feature lzma xz)
		$(meson_feature openssl)
		$(meson_feature pcre pcre2)
		$(meson_feature seccomp)
		$(meson_feature zstd)
		# Without tpm2-tss there is no unlocking by TPM; what the firmware and the UKI stub
		# measure does not need it. PAM and polkit have nobody to ask: root is the one account.
		-Dtpm2=disabled
		-Dpam=disabled
		-Dpolkit=disabled
		-Dlibcryptsetup-plugins=disabled
		-Dacl=disabled
		-Dapparmor=disabled
		-Daudit=disabled
		-Dbzip2=disabled
		-Ddbus=disabled
		-Delfutils=disabled
		-Dgcrypt=disabled
		-Dglib=disabled
		-Dgnutls=disabled
		-Dlibarchive=disabled
		-Dlibfido2=disabled
		-Dlibidn=disabled
		-Dlibidn2=disabled
		-Dlibiptc=disabled
		-Dmicrohttpd=disabled
		-Dp11kit=disabled
		-Dpasswdqc=disabled
		-Dpwquality=disabled
		-Dqrencode=disabled
		-Dselinux=disabled
		-Dxenctrl=disabled
		-Dxkbcommon=disabled

		# a boot loader, and the revocation metadata that shim wants to see in it
		$(meson_feature boot bootloader)
		-Dsbat-distro=colvert
		-Dsbat-distro-generation=1
		-Dsbat-distro-summary=Colvert
		-Dsbat-distro-pkgname=systemd
		-Dsbat-distro-version="${PV}"
		-Dsbat-distro-url=https://example.org/colvert

		# defaults
		-Ddefault-hierarchy=unified
		-Ddefault-dnssec=no
		-Ddefault-dns-over-tls=no
		-Ddefault-llmnr=no
		-Ddefault-mdns=no
		-Ddns-over-tls=$(usex dns-over-tls openssl false)
		-Ddns-servers=
		-Dntp-servers="0.pool.ntp.org 1.pool.ntp.org 2.pool.ntp.org 3.pool.ntp.org"
		-Dsupport-url=https://example.org/colvert
		-Dfallback-hostname=colvert
		-Ddefault-kill-user-processes=false
		-Ddev-kvm-mode=0660
		-Dgroup-render-mode=0660
		-Dstatus-unit-format-default=name
		-Dmemory-accounting-default=true

		# files that nothing on the machine reads
		-Dinstall-sysconfdir=no-samples
		-Dcreate-log-dirs=false
		-Dbashcompletiondir=no
		-Dzshcompletiondir=no
		-Ddbus-interfaces-dir=no
		-Dhtml=disabled
		-Dman=disabled
		-Drpmmacrosdir=no
		-Dshellprofiledir=no
		-Dsshconfdir=no
		-Dsshdconfdir=no
		-Dsshdprivsepdir=no
		-Dtranslations=false
		-Dxinitrcdir=no
		-Dtests=false
		-Dinstall-tests=false
		-Dlog-message-verification=disabled
	)
	colvert-meson_src_configure
}

src_install() {
	colvert-meson_src_install
	find "${ED}" -type d -empty -delete || die
	keepdir /etc/systemd/{system,network} /etc/udev/rules.d /etc/{sysctl,tmpfiles,modules-load}.d
	keepdir /etc/credstore{,.encrypted}
	fperms 0700 /etc/credstore{,.encrypted}

	# a server's target, not a desktop's
	dosym multi-user.target /usr/lib/systemd/system/default.target

	# Started on each boot by upstream, of no use here: questions of a first boot that
	# nobody answers, databases that are not installed, a second look at the partitions
	# after the initrd's, a random seed where the firmware and the CPU give better ones,
	# kernel file systems that whoever needs them mounts by the same units.
	local unit
	for unit in \
		dev-hugepages.mount sys-fs-fuse-connections.mount \
		sys-kernel-{config,debug,tracing}.mount \
		systemd-{boot-random-seed,firstboot,journal-catalog-update,repart}.service
	do
		rm -f "${ED}/usr/lib/systemd/system/sysinit.target.wants/${unit}" || die
	done
	rm -rf "${ED}"/usr/lib/systemd/catalog || die
	# Generators all run before the first unit does. None of these has anything to go by here.
	rm -f "${ED}"/usr/lib/systemd/system-generators/systemd-{import,integritysetup,run,system-update,tpm2}-generator || die

	# Rules for devices that no program of a server asks about, and for the hardware
	# database; each rule costs time for every device of every boot.
	cd "${ED}"/usr/lib/udev || die
	rm -f rules.d/60-{autosuspend,dmi-id,drm,evdev,fido-id,input-id,sensor}.rules \
		rules.d/60-persistent-{alsa,input,media-controller,storage-mtd,v4l}.rules \
		rules.d/70-{camera,joystick,memory,mouse,touchpad,uaccess}.rules \
		rules.d/7{1-seat,3-seat-late,5-probe_mtd,8-sound-card}.rules \
		rules.d/{82-net-auto-link-local,90-iocost}.rules \
		{dmi_memory_id,fido_id,iocost,mtd_probe,v4l_id} || die
}
