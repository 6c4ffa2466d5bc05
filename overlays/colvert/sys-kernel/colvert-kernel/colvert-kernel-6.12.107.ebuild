# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

COLVERT_NO_LIBC=1
inherit colvert-toolchain

DESCRIPTION="The kernel of Colvert: one lean configuration for every platform"
HOMEPAGE="https://www.kernel.org/"
# Debian takes non-free files out of the kernel's tarball: there is no other source of these bytes.
SRC_URI="mirror://debian/pool/main/l/linux/linux_${PV}.orig.tar.xz -> linux-${PV}.tar.xz"
S="${WORKDIR}/linux-${PV}"

LICENSE="GPL-2"
SLOT="0"
KEYWORDS="amd64"
# Kbuild strips the modules itself; the image of the kernel is not an ELF file.
RESTRICT="strip"

RDEPEND="sys-apps/baselayout"
BDEPEND="
	app-arch/zstd
	dev-build/make
	dev-lang/perl
	dev-libs/openssl
	sys-apps/gawk
	sys-apps/kmod
	sys-devel/bc
	sys-devel/bison
	sys-devel/flex
	virtual/libelf
"

PATCHES=( "${FILESDIR}/${P}-killable-before-init.patch" )

# Where the builder puts the fragments of a manifest (their digest is part of the package's key).
MANIFEST_FRAGMENTS="/build/kernel.config.d"

kernel_make() {
	# The profile's flags are for programs. V=0: one line for each file, so that warnings are seen.
	env -u CFLAGS -u CXXFLAGS -u CPPFLAGS -u LDFLAGS -u CC -u LD -u AR \
		make ${MAKEOPTS} V=0 ARCH=x86 CROSS_COMPILE="${CHOST}-" HOSTCC=gcc HOSTCXX=g++ "$@" ||
		die "make $* failed"
}

# Print what all fragments together ask for, as NAME=VALUE, "n" for "is not set"; later ones win.
# Stops at the first line that is neither empty, nor a comment, nor an option.
kernel_requested() {
	gawk '
		/^[[:space:]]*$/ { next }
		match($0, /^# (CONFIG_[A-Za-z0-9_]+) is not set$/, m) { want[m[1]] = "n"; next }
		/^#/ { next }
		match($0, /^(CONFIG_[A-Za-z0-9_]+)=([ynm]|-?[0-9]+|0x[0-9a-fA-F]+|".*")$/, m) { want[m[1]] = m[2]; next }
		{ printf "%s:%d: not a kernel option: %s\n", FILENAME, FNR, $0 > "/dev/stderr"; failed = 1; exit 1 }
		END { if (!failed) for (name in want) print name "=" want[name] }
	' "$@" | LC_ALL=C sort
	[[ ${PIPESTATUS[0]} -eq 0 ]]
}

# Print each request that the configuration does not meet: a typing error, an option that this
# version no longer has, or one whose dependencies nothing switched on.
kernel_unmet() { # REQUESTED CONFIG
	gawk '
		{ eq = index($0, "="); name = substr($0, 1, eq - 1); value = substr($0, eq + 1) }
		FNR == NR { want[name] = value; next }
		/^CONFIG_/ { have[name] = value }
		END {
			for (name in want) {
				got = (name in have) ? have[name] : "n"
				if (got != want[name]) print "  " name ": wanted " want[name] ", got " got
			}
		}
	' "$1" "$2" | LC_ALL=C sort
}

src_unpack() {
	mkdir -p "${S}" || die
	# documentation, tests and device trees of other processors: a third of the files
	tar -xf "${DISTDIR}/${A}" -C "${S}" --strip-components=1 --no-same-owner --anchored \
		--wildcards --no-wildcards-match-slash --exclude='*/Documentation/[a-z]*' \
		--exclude='*/arch/*/boot/dts' --exclude='*/tools/perf' --exclude='*/tools/testing' || die "unpacking failed"
}

src_configure() {
	local fragments=( "${FILESDIR}"/*.config ) fragment unmet
	for fragment in "${MANIFEST_FRAGMENTS}"/*.config; do
		[[ -f ${fragment} ]] && fragments+=( "${fragment}" )
	done
	einfo "Fragments: ${fragments[*]##*/}"
	kernel_requested "${fragments[@]}" > "${T}/requested" || die "a configuration fragment is malformed"

	# What no fragment names is off, whatever its default is; what the rest needs, Kconfig selects.
	# This resolves everything: olddefconfig afterwards would change nothing.
	kernel_make KCONFIG_ALLCONFIG="${T}/requested" allnoconfig
	unmet=$(kernel_unmet "${T}/requested" .config) || die
	if [[ -n ${unmet} ]]; then
		eerror "The configuration does not give what its fragments ask for:"
		eerror "${unmet}"
		die "kernel options without effect"
	fi
}

src_compile() {
	export KBUILD_BUILD_USER=colvert KBUILD_BUILD_HOST=colvert KBUILD_BUILD_VERSION=1
	KBUILD_BUILD_TIMESTAMP=$(LC_ALL=C date -u -d "@${SOURCE_DATE_EPOCH:?}") || die
	export KBUILD_BUILD_TIMESTAMP
	kernel_make bzImage modules
}

src_install() {
	local release
	release=$(<include/config/kernel.release) || die
	kernel_make INSTALL_MOD_PATH="${ED}/usr" INSTALL_MOD_STRIP=1 DEPMOD=/usr/sbin/depmod modules_install
	# links to the build directory
	rm -f "${ED}/usr/lib/modules/${release}"/{build,source} || die

	insinto "/usr/lib/modules/${release}"
	newins arch/x86/boot/bzImage vmlinuz
	newins .config config
}
