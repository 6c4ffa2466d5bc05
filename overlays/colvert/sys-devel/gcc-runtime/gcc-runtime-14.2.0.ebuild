# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

DESCRIPTION="Runtime libraries of the compiler: libgcc_s, libstdc++, libatomic"
HOMEPAGE="https://gcc.gnu.org/"
S="${WORKDIR}"

LICENSE="GPL-3+ gcc-runtime-library-exception-3.1"
SLOT="0"
KEYWORDS="amd64"
# Byte for byte what the compiler's programs are linked with.
RESTRICT="strip"

RDEPEND="sys-libs/glibc"

QA_PREBUILT="usr/lib/*"

src_configure() {
	local release
	release=$(gcc -dumpfullversion) || die
	[[ ${release} == "${PV}" ]] || die "the SDK's compiler is ${release}; give this ebuild its version"
}

src_compile() { :; }

src_install() {
	local lib
	exeinto /usr/lib
	for lib in libgcc_s.so.1 libstdc++.so.6 libatomic.so.1; do
		newexe "$(realpath -e "$(gcc -print-file-name="${lib}")")" "${lib}"
	done
}
