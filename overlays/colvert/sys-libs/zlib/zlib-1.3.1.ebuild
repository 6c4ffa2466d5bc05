# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-toolchain

DESCRIPTION="Compression library with the deflate algorithm"
HOMEPAGE="https://zlib.net/"
# Debian repacks zlib without its non-free parts.
SRC_URI="mirror://debian/pool/main/z/zlib/zlib_$(ver_cut 1-2).dfsg+really${PV}.orig.tar.gz -> ${P}.tar.gz"

LICENSE="ZLIB"
SLOT="0/1"
KEYWORDS="amd64"
IUSE="static-libs"

BDEPEND="dev-build/make"

src_unpack() { colvert_unpack; }

src_configure() {
	colvert_tc_export
	# Not made by autoconf: it knows no host, only CC and these.
	./configure --shared --prefix="${EPREFIX}/usr" --libdir="${EPREFIX}/usr/$(get_libdir)" || die "configure failed"
}

src_install() {
	default
	colvert_drop_archives
}
