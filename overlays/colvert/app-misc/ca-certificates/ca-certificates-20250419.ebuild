# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

DESCRIPTION="Mozilla's trusted certificate authorities, in one bundle"
HOMEPAGE="https://packages.debian.org/source/stable/ca-certificates"
SRC_URI="mirror://debian/pool/main/c/${PN}/${PN}_${PV}.tar.xz -> ${P}.tar.xz"
S="${WORKDIR}/${PN}"

LICENSE="MPL-2.0 GPL-2+"
SLOT="0"
KEYWORDS="amd64"

BDEPEND="
	dev-lang/python
	dev-python/cryptography
"

src_compile() {
	emake -C mozilla all
	# File names come from the certificates and are UTF-8; C has one order for them everywhere.
	( LC_ALL=C; cat mozilla/*.crt ) > ca-certificates.crt || die
	[[ $(grep -c '^-----BEGIN CERTIFICATE-----$' ca-certificates.crt) -gt 100 ]] \
		|| die "too few certificates in the bundle"
}

src_install() {
	# The bundle is the image's, so that an update brings the new one; in /etc are its names.
	# A local authority goes into /etc/ssl/certs under the hash that openssl rehash gives it.
	insinto /usr/share/ca-certificates
	doins ca-certificates.crt
	dosym ../../../usr/share/ca-certificates/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
	dosym certs/ca-certificates.crt /etc/ssl/cert.pem
}
