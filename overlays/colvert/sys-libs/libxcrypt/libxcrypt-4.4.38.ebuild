# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

DESCRIPTION="One-way hashes of passwords: crypt(3) and what came after it"
HOMEPAGE="https://github.com/besser82/libxcrypt"
SRC_URI="mirror://debian/pool/main/libx/libxcrypt/libxcrypt_${PV}.orig.tar.xz -> ${P}.tar.xz"

LICENSE="LGPL-2.1+ public-domain BSD BSD-2"
SLOT="0/1"
KEYWORDS="amd64"
IUSE="+system static-libs"

BDEPEND="dev-build/make dev-lang/perl virtual/pkgconfig"

src_configure() {
	local myeconfargs=(
		$(use_enable static-libs static)
		--disable-werror
		--disable-obsolete-api
		--disable-xcrypt-compat-files
		# A failed hash is NULL, as POSIX has it, not a string that may be compared.
		--disable-failure-tokens
		--enable-hashes=strong,glibc
	)
	# Without USE=system it stays out of the way of another libcrypt.
	use system || myeconfargs+=(
		--libdir="${EPREFIX}/usr/$(get_libdir)/xcrypt"
		--includedir="${EPREFIX}/usr/include/xcrypt"
	)
	colvert-autotools_src_configure
}
