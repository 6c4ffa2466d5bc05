# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-meson

DESCRIPTION="Message bus of the system, with its policy and units"
HOMEPAGE="https://github.com/bus1/dbus-broker"
SRC_URI="
	https://github.com/bus1/${PN}/releases/download/v${PV}/${P}.tar.xz
	mirror://debian/pool/main/d/${PN}/${PN}_${PV}.orig.tar.xz -> ${P}.tar.xz
"

LICENSE="Apache-2.0"
SLOT="0"
KEYWORDS="amd64"

DEPEND="
	dev-libs/expat
	sys-apps/systemd
	sys-kernel/linux-headers
"
RDEPEND="
	dev-libs/expat
	sys-apps/systemd
"

src_configure() {
	local emesonargs=(
		-Daudit=false
		-Dapparmor=false
		-Ddocs=false
		-Dlauncher=true
		-Dlinux-4-17=true
		-Dselinux=false
		-Dtests=false
	)
	colvert-meson_src_configure
}

src_install() {
	colvert-meson_src_install
	# systemd's own directories come from its pkg-config file, which answers with the sysroot in front
	cp -a "${D}${SYSROOT}"/usr/. "${ED}"/usr/ || die
	rm -rf "${D}${SYSROOT%%/sysroot*}" || die
	rm -rf "${ED}"/usr/lib/systemd/user || die

	# What the reference implementation brings elsewhere: the policy, the socket, the account.
	insinto /usr/share/dbus-1
	doins "${FILESDIR}"/system.conf
	keepdir /usr/share/dbus-1/{system.d,system-services} /etc/dbus-1/system.d
	insinto /usr/lib/systemd/system
	doins "${FILESDIR}"/dbus.socket
	dosym dbus-broker.service /usr/lib/systemd/system/dbus.service
	dosym ../dbus.socket /usr/lib/systemd/system/sockets.target.wants/dbus.socket
	insinto /usr/lib/sysusers.d
	newins "${FILESDIR}"/sysusers.conf dbus.conf
}
