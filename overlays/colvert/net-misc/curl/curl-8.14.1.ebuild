# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

DESCRIPTION="Program and library that transfer data by URL"
HOMEPAGE="https://curl.se/"
SRC_URI="
	https://curl.se/download/${P}.tar.gz
	mirror://debian/pool/main/c/${PN}/${PN}_${PV}.orig.tar.gz -> ${P}.tar.gz
"

LICENSE="BSD curl ISC"
SLOT="0"
KEYWORDS="amd64"
IUSE="+zstd"

DEPEND="
	dev-libs/openssl
	sys-libs/zlib
	zstd? ( app-arch/zstd )
"
RDEPEND="
	app-misc/ca-certificates
	${DEPEND}
"
BDEPEND="dev-lang/perl"

src_configure() {
	local myeconfargs=(
		--with-openssl
		--with-zlib
		$(use_with zstd)
		--with-ca-bundle="${EPREFIX}/etc/ssl/certs/ca-certificates.crt"
		--without-ca-path
		--without-brotli
		--without-libgsasl
		--without-libidn2
		--without-libpsl
		--without-librtmp
		--without-libssh2
		--without-nghttp2
		--without-ngtcp2
		--without-zsh-functions-dir
		--without-fish-functions-dir

		# what systemd-pull and a person at a shell ask for
		--enable-file
		--enable-http
		--enable-ipv6
		--enable-proxy
		--enable-threaded-resolver
		--enable-unix-sockets

		--disable-ares
		--disable-dict
		--disable-docs
		--disable-ftp
		--disable-gopher
		--disable-imap
		--disable-ldap
		--disable-ldaps
		--disable-libcurl-option
		--disable-manual
		--disable-mqtt
		--disable-ntlm
		--disable-pop3
		--disable-rtsp
		--disable-smb
		--disable-smtp
		--disable-telnet
		--disable-tftp
		--disable-websockets
	)
	colvert-autotools_src_configure
}
