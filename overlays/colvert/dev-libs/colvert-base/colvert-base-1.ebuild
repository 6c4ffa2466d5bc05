# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-own

DESCRIPTION="What the programs of Colvert are made of: static libraries, nothing that ships"
HOMEPAGE="https://example.org/colvert"

LICENSE="Apache-2.0"
SLOT="0"
KEYWORDS="amd64"

DEPEND+="
	dev-libs/json-c
"

src_install() {
	# Not the eclass's: that one drops static libraries, and this package is nothing else.
	DESTDIR="${D}" ninja -C "${BUILD_DIR}" install || die "ninja install failed"
}
