# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-meson

DESCRIPTION="Asks the platform for ssh keys, host name and user data, and applies them"
HOMEPAGE="https://example.org/colvert"
S="${WORKDIR}/${P}"

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

src_unpack() {
	mkdir -p "${S}" || die
	cp -r "${FILESDIR}"/{meson.build,src,test} "${S}" || die
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
