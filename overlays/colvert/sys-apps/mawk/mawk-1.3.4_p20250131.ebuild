# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

MY_P="${PN}-${PV/_p/-}"

DESCRIPTION="A small and fast awk"
HOMEPAGE="https://invisible-island.net/mawk/mawk.html"
SRC_URI="
	https://invisible-island.net/archives/${PN}/${MY_P}.tgz
	mirror://debian/pool/main/m/${PN}/${PN}_${PV/_p/.}.orig.tar.gz -> ${MY_P}.tgz
"

LICENSE="GPL-2"
SLOT="0"
KEYWORDS="amd64"

src_configure() {
	colvert_tc_export
	econf --sbindir="${EPREFIX}/usr/bin" --enable-builtin-srand --with-build-cc="${BUILD_CC}"
}
