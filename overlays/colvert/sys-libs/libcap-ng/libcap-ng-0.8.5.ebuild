# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

DESCRIPTION="POSIX capabilities made easy for programs that drop them"
HOMEPAGE="https://people.redhat.com/sgrubb/libcap-ng/"
# The tag; upstream's own tarball has a configure script.
SRC_URI="mirror://debian/pool/main/libc/${PN}/${PN}_${PV}.orig.tar.gz -> ${P}.tar.gz"

LICENSE="LGPL-2.1+"
SLOT="0"
KEYWORDS="amd64"

DEPEND="sys-kernel/linux-headers"

src_prepare() {
	# automake's GNU rules want the file, the tag does not have it
	touch NEWS || die
	colvert-autotools_src_prepare
}

src_configure() {
	local myeconfargs=(
		--without-python3
	)
	colvert-autotools_src_configure
}

# The programs under utils are for auditing a machine by hand; the image wants the library.
src_compile() { emake -C src; }

src_install() {
	emake -C src DESTDIR="${D}" install
	colvert_drop_archives
}
