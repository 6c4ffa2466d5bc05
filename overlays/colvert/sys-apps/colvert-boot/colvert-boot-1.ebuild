# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-own

DESCRIPTION="Proves that a boot is good, and tells why an earlier one was not"
HOMEPAGE="https://example.org/colvert"

LICENSE="Apache-2.0"
SLOT="0"
KEYWORDS="amd64"

DEPEND+="
	dev-libs/colvert-base
"
# The programs that its units start.
RDEPEND+="
	app-shells/bash
	sys-apps/coreutils
	sys-apps/grep
	sys-apps/mawk
	sys-apps/systemd[boot,cryptsetup]
"

# Install files/DIR/UNIT.conf as a drop-in of a unit, below a place.
drop_in() {
	insinto "$1/$2.d"
	newins "${FILESDIR}/$3" 10-colvert.conf
}

src_install() {
	colvert-meson_src_install
	exeinto /usr/lib/colvert
	doexe "${FILESDIR}"/units/{give-up,health}

	local units=/usr/lib/systemd/system initrd=/usr/lib/colvert/initrd/usr/lib/systemd/system
	insinto ${units}
	doins "${FILESDIR}"/units/*.service
	dosym ../colvert-health.service ${units}/boot-complete.target.requires/colvert-health.service
	drop_in ${units} boot-complete.target units/boot-complete.target.conf
	drop_in ${units} emergency.service units/emergency.service.conf
	drop_in ${units} systemd-bless-boot.service units/bless-boot.conf
	insinto ${initrd}
	doins "${FILESDIR}"/initrd/*.service
	# whatever systemd calls it, nobody comes to rescue
	newins "${FILESDIR}"/initrd/emergency.service rescue.service
	drop_in ${initrd} initrd.target initrd/initrd.target.conf

	insinto /usr/lib/systemd/system-preset
	doins "${FILESDIR}"/units/81-colvert-boot.preset
	insinto /usr/lib/tmpfiles.d
	newins "${FILESDIR}"/units/tmpfiles.conf colvert-boot.conf
	insinto /usr/lib/sysctl.d
	newins "${FILESDIR}"/units/sysctl.conf 60-colvert-boot.conf
}
