# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-meson

DESCRIPTION="What the programs of Colvert are made of: static libraries, nothing that ships"
HOMEPAGE="https://example.org/colvert"
S="${WORKDIR}/${P}"

LICENSE="Apache-2.0"
SLOT="0"
KEYWORDS="amd64"

DEPEND+="
	dev-libs/json-c
"

src_unpack() {
	mkdir -p "${S}" || die
	cp -r "${FILESDIR}"/{meson.build,include,src,test} "${S}" || die
}

# The tests are made for the target: they run with the target's own loader and libraries.
run_tests() {
	local test
	for test in "${BUILD_DIR}"/test-*; do
		[[ -f ${test} && -x ${test} ]] || continue
		if ! "${SYSROOT}"/usr/lib/ld-linux-x86-64.so.2 --library-path "${SYSROOT}/usr/lib" \
			"${test}" > "${T}/test.log" 2>&1
		then
			tail -n 20 "${T}/test.log"
			die "${test##*/} failed"
		fi
		einfo "${test##*/} passed"
	done
}

src_compile() {
	colvert-meson_src_compile
	# They take a second, so every build runs them.
	run_tests
}

src_test() {
	run_tests
}

src_install() {
	# Not the eclass's: that one drops static libraries, and this package is nothing else.
	DESTDIR="${D}" ninja -C "${BUILD_DIR}" install || die "ninja install failed"
}
