# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-toolchain

DESCRIPTION="TLS and cryptography: libraries and program"
HOMEPAGE="https://www.openssl.org/"
SRC_URI="
	https://github.com/openssl/openssl/releases/download/${P}/${P}.tar.gz
	mirror://debian/pool/main/o/openssl/openssl_${PV}.orig.tar.gz -> ${P}.tar.gz
"

LICENSE="Apache-2.0"
SLOT="0/$(ver_cut 1)"
KEYWORDS="amd64"
IUSE="+asm ktls static-libs"

BDEPEND="dev-build/make dev-lang/perl"

src_unpack() {
	mkdir -p "${S}" || die
	# Tests, their certificates and the manuals are four fifths of the tarball.
	tar -xf "${DISTDIR}/${P}.tar.gz" -C "${S}" --strip-components=1 --no-same-owner \
		--exclude='*/doc/man*/*.pod' --exclude='*/test/recipes' --exclude='*/test/certs' \
		--exclude='*/fuzz/corpora' || die "unpacking failed"
}

src_configure() {
	colvert_tc_export
	local options=(
		--prefix="${EPREFIX}/usr" --libdir="$(get_libdir)" --openssldir="${EPREFIX}/etc/ssl"
		shared enable-pie no-docs no-tests
		# Nothing is loaded at run time: no engines, no legacy provider, none of its ciphers.
		no-engine no-legacy
		no-bf no-cast no-idea no-md4 no-mdc2 no-rc2 no-rc4 no-rc5 no-seed
		no-ssl3 no-srp no-whirlpool
		$(usex asm '' no-asm)
		$(usex ktls enable-ktls no-ktls)
	)
	# enable-pie says -fPIE where it belongs; after -fPIC it would undo that for the libraries.
	CFLAGS="${CFLAGS//-fPIE/}" perl ./Configure linux-x86_64 "${options[@]}" || die "Configure failed"
}

src_compile() { emake build_sw; }

src_install() {
	emake DESTDIR="${D}" install_sw
	insinto /etc/ssl
	doins apps/openssl.cnf
	rm -f "${ED}"/usr/bin/c_rehash || die
	rmdir "${ED}/usr/$(get_libdir)"/ossl-modules "${ED}/usr/$(get_libdir)"/engines-3 2>/dev/null
	colvert_drop_archives
}
