# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

DESCRIPTION="Programs and library for dm-verity, dm-integrity and dm-crypt volumes"
HOMEPAGE="https://gitlab.com/cryptsetup/cryptsetup"
# Upstream publishes a tarball with a configure script; Debian's is the tag.
SRC_URI="mirror://debian/pool/main/c/${PN}/${PN}_${PV}.orig.tar.gz -> ${P}.tar.gz"

LICENSE="GPL-2+ LGPL-2.1+"
SLOT="0/12"
KEYWORDS="amd64"

DEPEND="
	dev-libs/json-c
	dev-libs/openssl
	dev-libs/popt
	sys-apps/util-linux
	sys-fs/lvm2
	sys-kernel/linux-headers
"
RDEPEND="
	dev-libs/json-c
	dev-libs/openssl
	dev-libs/popt
	sys-apps/util-linux
	sys-fs/lvm2
"

src_prepare() {
	default
	# Not the eclass's: config.rpath, which configure runs, comes from gettext's autopoint.
	autoreconf -fi || die "autoreconf failed"
}

src_configure() {
	local myeconfargs=(
		--with-crypto_backend=openssl
		--with-tmpfilesdir="${EPREFIX}/usr/lib/tmpfiles.d"
		--disable-asciidoc
		--disable-external-tokens
		--disable-fips
		--disable-internal-argon2
		--disable-libargon2
		--disable-nls
		--disable-selinux
		--disable-ssh-token
		--disable-udev
	)
	colvert-autotools_src_configure
}
