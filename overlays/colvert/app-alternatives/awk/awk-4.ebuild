# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

DESCRIPTION="The link that says which program is awk"
HOMEPAGE="https://example.org/colvert"
S="${WORKDIR}"

LICENSE="Apache-2.0"
SLOT="0"
KEYWORDS="amd64"

RDEPEND="sys-apps/mawk"

src_install() {
	dosym mawk /usr/bin/awk
}
