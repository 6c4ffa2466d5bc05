# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-toolchain

DESCRIPTION="Programs that show and set addresses, routes, links, sockets and traffic control"
HOMEPAGE="https://wiki.linuxfoundation.org/networking/iproute2"
SRC_URI="
	https://www.kernel.org/pub/linux/utils/net/${PN}/${P}.tar.xz
	mirror://debian/pool/main/i/${PN}/${PN}_${PV}.orig.tar.xz -> ${P}.tar.xz
"

LICENSE="GPL-2+"
SLOT="0"
KEYWORDS="amd64"
IUSE="+caps"

DEPEND="
	sys-kernel/linux-headers
	caps? ( sys-libs/libcap )
"
RDEPEND="caps? ( sys-libs/libcap )"
BDEPEND="
	app-alternatives/lex
	app-alternatives/yacc
	virtual/pkgconfig
"

src_configure() {
	colvert_tc_export
	LIBBPF_FORCE=off sh ./configure --libbpf_force off || die "configure failed"
	use caps || sed -i -e '/CAP/d' config.mk || die
	cat config.mk || die
}

# netem's tables, the devlink family (which needs libmnl) and man pages are left out.
_make() {
	emake CC="${CC}" HOSTCC="${BUILD_CC}" AR="${AR}" CCOPTS="${CFLAGS}" \
		SUBDIRS="lib ip tc bridge misc" SBINDIR=/usr/bin LIBDIR=/usr/lib \
		CONFDIR=/etc/iproute2 NETNS_RUN_DIR=/run/netns "$@"
}

src_compile() { _make LDFLAGS="${LDFLAGS} -pie"; }

src_install() {
	_make DESTDIR="${D}" LDFLAGS="${LDFLAGS} -pie" install
	rm -rf "${ED}"/var "${ED}"/usr/share/bash-completion \
		"${ED}"/usr/bin/{ifstat,lnstat,ctstat,rtstat,nstat,rtacct,routel} || die
}
