# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

MY_P="xz-${PV}"

DESCRIPTION="LZMA compression: library and program"
HOMEPAGE="https://tukaani.org/xz/"
SRC_URI="
	https://github.com/tukaani-project/xz/releases/download/v${PV}/${MY_P}.tar.xz
	mirror://debian/pool/main/x/xz-utils/xz-utils_${PV}.orig.tar.xz -> ${MY_P}.tar.xz
"
S="${WORKDIR}/${MY_P}"

LICENSE="0BSD LGPL-2.1+"
SLOT="0"
KEYWORDS="amd64"
IUSE="static-libs"

BDEPEND="dev-build/make"

src_configure() {
	local myeconfargs=(
		$(use_enable static-libs static)
		--disable-doc
		--disable-nls
		--disable-lzma-links
		--disable-lzmadec
		--disable-lzmainfo
		--disable-scripts
		--disable-xzdec
	)
	colvert-autotools_src_configure
}
