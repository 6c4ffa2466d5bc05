# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-toolchain

DESCRIPTION="Extremely fast compression: library and program"
HOMEPAGE="https://lz4.org/"
SRC_URI="mirror://debian/pool/main/l/lz4/lz4_${PV}.orig.tar.gz -> ${P}.tar.gz"

LICENSE="BSD-2 GPL-2"
SLOT="0/r132"
KEYWORDS="amd64"
IUSE="static-libs"

BDEPEND="dev-build/make"

src_unpack() { colvert_unpack; }

src_configure() { colvert_tc_export; }

src_compile() {
	emake -C lib liblz4 liblz4.pc V=1 PREFIX="${EPREFIX}/usr" libdir="${EPREFIX}/usr/$(get_libdir)"
	use static-libs && emake -C lib liblz4.a V=1
	emake -C programs lz4 V=1
}

src_install() {
	emake -C lib DESTDIR="${D}" PREFIX="${EPREFIX}/usr" libdir="${EPREFIX}/usr/$(get_libdir)" \
		BUILD_STATIC="$(usex static-libs)" install
	# The headers that come with the static library are wanted without it too.
	doheader lib/lz4frame_static.h lib/lz4file.h
	emake -C programs DESTDIR="${D}" PREFIX="${EPREFIX}/usr" install
}
