# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-cmake

DESCRIPTION="Read and write JSON in C"
HOMEPAGE="https://github.com/json-c/json-c"
# Debian repacks json-c without generated documentation.
SRC_URI="mirror://debian/pool/main/j/json-c/json-c_${PV}+ds.orig.tar.xz -> ${P}.tar.xz"

LICENSE="MIT"
SLOT="0/5"
KEYWORDS="amd64"
IUSE="static-libs"

src_configure() {
	local mycmakeargs=(
		-DBUILD_SHARED_LIBS=ON
		-DBUILD_STATIC_LIBS="$(usex static-libs)"
		-DBUILD_APPS=OFF
		-DBUILD_TESTING=OFF
		-DDISABLE_WERROR=ON
	)
	colvert-cmake_src_configure
}
