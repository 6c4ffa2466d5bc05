# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

DESCRIPTION="Programs that make, check and label FAT file systems"
HOMEPAGE="https://github.com/dosfstools/dosfstools"
SRC_URI="
	https://github.com/${PN}/${PN}/releases/download/v${PV}/${P}.tar.gz
	mirror://debian/pool/main/d/${PN}/${PN}_${PV}.orig.tar.gz -> ${P}.tar.gz
"

LICENSE="GPL-3+"
SLOT="0"
KEYWORDS="amd64"

DEPEND="sys-kernel/linux-headers"

src_configure() {
	# tables of DOS code pages are glibc's gconv modules, which no image has
	local myeconfargs=(
		--enable-compat-symlinks
		--without-iconv
	)
	colvert-autotools_src_configure
}
