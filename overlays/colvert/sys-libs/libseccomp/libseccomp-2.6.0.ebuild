# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

DESCRIPTION="Interface to the kernel's system call filters"
HOMEPAGE="https://github.com/seccomp/libseccomp"
SRC_URI="
	https://github.com/seccomp/libseccomp/releases/download/v${PV}/${P}.tar.gz
	mirror://debian/pool/main/libs/libseccomp/libseccomp_${PV}.orig.tar.gz -> ${P}.tar.gz
"

LICENSE="LGPL-2.1"
SLOT="0"
KEYWORDS="amd64"
IUSE="static-libs"

BDEPEND="dev-build/make dev-util/gperf"

src_configure() {
	local myeconfargs=(
		$(use_enable static-libs static)
		--disable-python
	)
	colvert-autotools_src_configure
}
