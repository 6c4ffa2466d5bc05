# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

DESCRIPTION="Directories, compatibility links and the first files of /etc"
HOMEPAGE="https://example.org/colvert"
S="${WORKDIR}"

LICENSE="Apache-2.0"
SLOT="0"
KEYWORDS="amd64"

src_install() {
	# One directory of programs, one of libraries; every other path is a link to them.
	keepdir /usr/bin /usr/lib /etc /var
	dosym usr/bin /bin
	dosym usr/bin /sbin
	dosym bin /usr/sbin
	dosym usr/lib /lib
	dosym usr/lib /lib64
	dosym lib /usr/lib64

	insinto /etc
	doins "${FILESDIR}"/{group,hosts,issue,nsswitch.conf,passwd,shells}
	insopts -m0600
	doins "${FILESDIR}"/shadow
	insopts -m0644
	dosym ../usr/lib/os-release /etc/os-release
	dosym ../proc/self/mounts /etc/mtab
	dosym ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf

	insinto /usr/lib/tmpfiles.d
	doins "${FILESDIR}"/baselayout.conf
}
