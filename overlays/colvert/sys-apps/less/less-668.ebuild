# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

DESCRIPTION="Pager that goes both ways"
HOMEPAGE="https://www.greenwoodsoftware.com/less/"
SRC_URI="
	https://www.greenwoodsoftware.com/${PN}/${P}.tar.gz
	mirror://debian/pool/main/l/${PN}/${PN}_${PV}.orig.tar.gz -> ${P}.tar.gz
"

LICENSE="|| ( GPL-3+ BSD-2 )"
SLOT="0"
KEYWORDS="amd64"

DEPEND="sys-libs/ncurses"
RDEPEND="${DEPEND}"

src_configure() {
	local myeconfargs=(
		--with-editor="${EPREFIX}/usr/bin/nano"
		--with-regex=posix
	)
	colvert-autotools_src_configure
}
