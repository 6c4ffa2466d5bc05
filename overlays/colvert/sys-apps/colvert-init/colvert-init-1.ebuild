# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

DESCRIPTION="What a Colvert machine does: disk, /etc, network, initrd"
HOMEPAGE="https://example.org/colvert"
S="${WORKDIR}"

LICENSE="Apache-2.0"
SLOT="0"
KEYWORDS="amd64"

# Programs that the units here and initrd.list name, the bus that logind and networkd
# talk on, and the login that a console asks for.
RDEPEND="
	app-shells/bash
	net-misc/openssh
	sys-apps/baselayout
	sys-apps/colvert-boot
	sys-apps/coreutils
	sys-apps/dbus-broker
	sys-apps/grep
	sys-apps/shadow
	sys-apps/systemd[boot,cryptsetup]
	sys-apps/util-linux
	sys-fs/e2fsprogs
"

src_install() {
	insinto /usr
	doins -r "${FILESDIR}"/usr/lib

	# The kernel has these built in, or not at all; each would cost a process on every boot.
	local module
	for module in dm_mod drm efi_pstore loop; do
		dosym /dev/null /usr/lib/systemd/system/modprobe@${module}.service
	done
}
