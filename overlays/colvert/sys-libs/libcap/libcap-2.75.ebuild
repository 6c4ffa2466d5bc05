# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-toolchain

DESCRIPTION="POSIX 1003.1e capabilities: library and programs"
HOMEPAGE="https://sites.google.com/site/fullycapable/"
SRC_URI="
	https://www.kernel.org/pub/linux/libs/security/linux-privs/libcap2/${P}.tar.xz
	mirror://debian/pool/main/libc/libcap2/libcap2_${PV}.orig.tar.xz -> ${P}.tar.xz
"

LICENSE="|| ( GPL-2 BSD )"
SLOT="0"
KEYWORDS="amd64"
IUSE="static-libs"

BDEPEND="dev-build/make dev-util/gperf"

src_unpack() { colvert_unpack; }

# One set of make variables for every call: the build system looks at the machine for
# whatever it is not told.
libcap_make() {
	emake -C "$1" "${@:2}" prefix="${EPREFIX}/usr" lib="$(get_libdir)" sbin=bin \
		CC="${CC}" LD="${CC} -Wl,-x -shared" AR="${AR}" RANLIB="${RANLIB}" OBJCOPY="${OBJCOPY}" \
		BUILD_CC="${BUILD_CC}" BUILD_CFLAGS=-O2 BUILD_LDFLAGS= \
		GOLANG=no PAM_CAP=no PTHREADS=yes SHARED=yes DYNAMIC=yes USE_GPERF=yes RAISE_SETFCAP=no
}

src_configure() { colvert_tc_export; }

src_compile() {
	libcap_make libcap
	libcap_make progs
}

src_install() {
	libcap_make libcap DESTDIR="${D}" install
	libcap_make progs DESTDIR="${D}" install
	colvert_drop_archives
}
