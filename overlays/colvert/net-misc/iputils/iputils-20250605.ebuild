# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-meson

DESCRIPTION="Test the network: ping, tracepath and arping"
HOMEPAGE="https://github.com/iputils/iputils"
# Packed by Debian from upstream's tag.
SRC_URI="mirror://debian/pool/main/i/${PN}/${PN}_${PV}.orig.tar.xz -> ${P}.tar.xz"

LICENSE="BSD GPL-2+"
SLOT="0"
KEYWORDS="amd64"

DEPEND="sys-libs/libcap"
RDEPEND="${DEPEND}"

src_configure() {
	# ping needs no privilege: systemd opens net.ipv4.ping_group_range to everybody.
	local emesonargs=(
		-DBUILD_ARPING=true
		-DBUILD_CLOCKDIFF=false
		-DBUILD_MANS=false
		-DBUILD_PING=true
		-DBUILD_TRACEPATH=true
		-DNO_SETCAP_OR_SUID=true
		-DSKIP_TESTS=true
		-DUSE_CAP=true
		-DUSE_GETTEXT=false
		-DUSE_IDN=false
	)
	colvert-meson_src_configure
}
