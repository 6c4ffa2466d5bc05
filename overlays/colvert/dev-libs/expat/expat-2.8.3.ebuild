# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

DESCRIPTION="Stream-oriented XML parser"
HOMEPAGE="https://libexpat.github.io/"
SRC_URI="mirror://debian/pool/main/e/expat/expat_${PV}.orig.tar.gz -> ${P}.tar.gz"
S="${WORKDIR}/${P}/expat"

LICENSE="MIT"
SLOT="0"
KEYWORDS="amd64"
IUSE="static-libs"

BDEPEND="dev-build/make"

src_unpack() {
	S="${WORKDIR}/${P}" colvert_unpack
}

src_configure() {
	local myeconfargs=(
		$(use_enable static-libs static)
		--without-docbook
		--without-examples
		--without-tests
		--without-xmlwf
	)
	colvert-autotools_src_configure
}
