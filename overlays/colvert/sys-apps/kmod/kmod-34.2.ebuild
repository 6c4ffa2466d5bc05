# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-meson

DESCRIPTION="Programs and library that handle the kernel's modules"
HOMEPAGE="https://github.com/kmod-project/kmod"
# The tag; upstream's own tarball has generated files too.
SRC_URI="mirror://debian/pool/main/k/${PN}/${PN}_${PV}.orig.tar.xz -> ${P}.tar.xz"

LICENSE="GPL-2+ LGPL-2.1+"
SLOT="0"
KEYWORDS="amd64"
IUSE="lzma pkcs7 zlib +zstd"

DEPEND="
	lzma? ( app-arch/xz-utils )
	pkcs7? ( dev-libs/openssl )
	zlib? ( sys-libs/zlib )
	zstd? ( app-arch/zstd )
"
RDEPEND="${DEPEND}"

src_configure() {
	local emesonargs=(
		-Ddistconfdir=/usr/lib
		-Dmoduledir=/usr/lib/modules
		-Dmanpages=false
		-Dbashcompletiondir=no
		-Dfishcompletiondir=no
		-Dzshcompletiondir=no
		$(meson_feature lzma xz)
		$(meson_feature pkcs7 openssl)
		$(meson_feature zlib)
		$(meson_feature zstd)
	)
	colvert-meson_src_configure
}
