# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-own

DESCRIPTION="Fetches a release, puts it into the cold slot, and goes back to the other one"
HOMEPAGE="https://example.org/colvert"

LICENSE="Apache-2.0"
SLOT="0"
KEYWORDS="amd64"

DEPEND+="
	app-arch/zstd
	dev-libs/colvert-base
	dev-libs/json-c
	dev-libs/openssl
	net-misc/curl
	sys-apps/util-linux
	sys-fs/cryptsetup
	sys-kernel/linux-headers
"
# The programs that it and its units start: bootctl, systemctl, systemd-run.
RDEPEND+="
	app-arch/zstd
	dev-libs/json-c
	dev-libs/openssl
	net-misc/curl
	sys-apps/systemd[boot]
	sys-apps/util-linux
	sys-fs/cryptsetup
"

src_install() {
	colvert-meson_src_install
	insinto /usr/lib/systemd/system
	doins "${FILESDIR}"/units/*.{service,slice,timer}
	insinto /usr/lib/systemd/system-preset
	doins "${FILESDIR}"/units/82-colvert-update.preset
	insinto /usr/lib/tmpfiles.d
	newins "${FILESDIR}"/units/tmpfiles.conf colvert-update.conf
}
