# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-toolchain

DESCRIPTION="Fast compression: library and program"
HOMEPAGE="https://facebook.github.io/zstd/"
# Debian repacks zstd without its non-free parts.
SRC_URI="mirror://debian/pool/main/libz/libzstd/libzstd_${PV}+dfsg.orig.tar.xz -> ${P}.tar.xz"

LICENSE="|| ( BSD GPL-2 )"
SLOT="0/1"
KEYWORDS="amd64"
IUSE="static-libs"

BDEPEND="dev-build/make"

src_unpack() { colvert_unpack; }

zstd_make() {
	emake -C "$1" "${@:2}" PREFIX="${EPREFIX}/usr" LIBDIR="${EPREFIX}/usr/$(get_libdir)" \
		HAVE_ZLIB=0 HAVE_LZMA=0 HAVE_LZ4=0 V=1
}

src_configure() { colvert_tc_export; }

src_compile() {
	zstd_make lib libzstd
	use static-libs && zstd_make lib libzstd.a
	# The program takes the shared library instead of a second copy of it.
	zstd_make programs zstd-dll
}

src_install() {
	zstd_make lib DESTDIR="${D}" install-pc install-includes install-shared
	use static-libs && zstd_make lib DESTDIR="${D}" install-static
	dobin programs/zstd
	local name
	for name in unzstd zstdcat zstdmt; do
		dosym zstd "/usr/bin/${name}"
	done
}
