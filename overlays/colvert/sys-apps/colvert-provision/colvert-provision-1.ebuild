# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-own

DESCRIPTION="Asks the platform for ssh keys, host name and user data, and applies them"
HOMEPAGE="https://example.org/colvert"

LICENSE="Apache-2.0"
SLOT="0"
KEYWORDS="amd64"

DEPEND+="
	dev-libs/colvert-base
	dev-libs/json-c
	net-misc/curl
"
# The programs that its units start.
RDEPEND+="
	dev-libs/json-c
	net-misc/curl
	sys-apps/coreutils
	sys-apps/systemd
"

src_install() {
	colvert-meson_src_install
	insinto /usr/lib/systemd/system
	doins "${FILESDIR}"/units/*.{service,mount}
	insinto /usr/lib/systemd/system-preset
	doins "${FILESDIR}"/units/81-colvert-provision.preset
	insinto /usr/lib/udev/rules.d
	doins "${FILESDIR}"/units/90-colvert-provision.rules
	insinto /usr/lib/tmpfiles.d
	newins "${FILESDIR}"/units/tmpfiles.conf colvert-provision.conf
}
