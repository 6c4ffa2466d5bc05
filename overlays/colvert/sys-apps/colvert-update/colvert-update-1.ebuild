# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-meson

DESCRIPTION="Fetches a release, puts it into the cold slot, and goes back to the other one"
HOMEPAGE="https://example.org/colvert"
S="${WORKDIR}/${P}"

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
	# They take a few seconds, so every build runs them.
	run_tests
}

src_test() {
	run_tests
}

src_install() {
	colvert-meson_src_install
	insinto /usr/lib/systemd/system
	doins "${FILESDIR}"/units/*.{service,slice,timer}
	insinto /usr/lib/systemd/system-preset
	doins "${FILESDIR}"/units/82-colvert-update.preset
	insinto /usr/lib/tmpfiles.d
	newins "${FILESDIR}"/units/tmpfiles.conf colvert-update.conf
}
