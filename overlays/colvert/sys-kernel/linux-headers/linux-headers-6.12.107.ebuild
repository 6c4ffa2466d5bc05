# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

COLVERT_NO_LIBC=1
inherit colvert-toolchain

DESCRIPTION="Linux system headers"
HOMEPAGE="https://www.kernel.org/"
# Debian takes non-free files out of the kernel's tarball: there is no other source of these bytes.
SRC_URI="mirror://debian/pool/main/l/linux/linux_${PV}.orig.tar.xz -> linux-${PV}.tar.xz"
S="${WORKDIR}/linux-${PV}"

LICENSE="GPL-2"
SLOT="0"
KEYWORDS="amd64"

RDEPEND="sys-apps/baselayout"
BDEPEND="dev-build/make net-misc/rsync"

src_unpack() {
	# The whole tree is 1.5 GB; the headers need this much of it.
	mkdir -p "${S}" || die
	tar -xf "${DISTDIR}/${A}" -C "${S}" --strip-components=1 --no-same-owner --wildcards \
		'*/Makefile' '*/Kbuild' '*/scripts' '*/usr' '*/arch/x86' '*/include/uapi' \
		'*/include/asm-generic' '*/include/linux/*.h' '*/tools/include' || die "unpacking failed"
}

src_configure() { :; }

src_compile() { :; }

src_install() {
	emake ARCH=x86 HOSTCC=gcc INSTALL_HDR_PATH="${ED}/usr" headers_install
	find "${ED}" -name '.*' -type f -delete || die
}
