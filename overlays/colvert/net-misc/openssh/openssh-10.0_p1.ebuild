# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

MY_P=${P/_}

DESCRIPTION="Secure shell: server, client and keys"
HOMEPAGE="https://www.openssh.com/"
SRC_URI="
	https://cdn.openbsd.org/pub/OpenBSD/OpenSSH/portable/${MY_P}.tar.gz
	mirror://debian/pool/main/o/${PN}/${MY_P/-/_}.orig.tar.gz -> ${MY_P}.tar.gz
"
S="${WORKDIR}/${MY_P}"

LICENSE="BSD BSD-2 ISC public-domain"
SLOT="0"
KEYWORDS="amd64"

DEPEND="
	dev-libs/openssl
	sys-kernel/linux-headers
	sys-libs/libxcrypt
	sys-libs/zlib
"
RDEPEND="
	dev-libs/openssl
	sys-libs/libxcrypt
	sys-libs/zlib
"

src_configure() {
	# --without-hardening: the profile's flags are stronger, and two fortify levels clash.
	local myeconfargs=(
		--sysconfdir="${EPREFIX}/etc/ssh"
		--libexecdir="${EPREFIX}/usr/lib/misc"
		--with-pid-dir="${EPREFIX}/run"
		--with-privsep-path="${EPREFIX}/usr/share/empty.sshd"
		--with-privsep-user=sshd
		--with-default-path="${EPREFIX}/usr/bin"
		--with-sandbox=seccomp_filter
		--with-pie
		--disable-etc-default-login
		--disable-lastlog
		--disable-pkcs11
		--disable-strip
		--disable-utmp
		--disable-utmpx
		--disable-wtmp
		--disable-wtmpx
		--without-audit
		--without-hardening
		--without-kerberos5
		--without-ldns
		--without-libedit
		--without-pam
		--without-selinux
		--without-xauth
		--without-zlib-version-check
	)
	colvert-autotools_src_configure
}

src_install() {
	emake DESTDIR="${D}" install-nosysconf
	# ssh-keysign is of use as a setuid program only, and nothing in the image is setuid;
	# the helper for security keys wants libfido2 (to accept such keys sshd needs neither).
	rm -f "${ED}"/usr/lib/misc/ssh-{keysign,sk-helper} || die

	insinto /etc/ssh
	# No moduli: sshd no longer offers key exchange over finite fields.
	doins "${FILESDIR}"/ssh{,d}_config
	keepdir /etc/ssh/ssh{,d}_config.d /usr/share/ssh/ssh{,d}_config.d
	keepdir /usr/share/empty.sshd

	insinto /usr/lib/systemd/system
	doins "${FILESDIR}"/sshd.{service,socket}
	newins "${FILESDIR}"/sshd-instance.service sshd@.service
	newins "${FILESDIR}"/sshd-keygen-instance.service sshd-keygen@.service
	insinto /usr/lib/sysusers.d
	newins "${FILESDIR}"/sysusers.conf sshd.conf
}
