# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-meson

DESCRIPTION="Proves that a boot is good, and tells why an earlier one was not"
HOMEPAGE="https://example.org/colvert"
S="${WORKDIR}/${P}"

LICENSE="Apache-2.0"
SLOT="0"
KEYWORDS="amd64"

DEPEND+="
	dev-libs/colvert-base
"
# The programs that its units start.
RDEPEND+="
	app-shells/bash
	sys-apps/coreutils
	sys-apps/grep
	sys-apps/mawk
	sys-apps/systemd[boot,cryptsetup]
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

# Install files/DIR/UNIT.conf as a drop-in of a unit, below a place.
drop_in() {
	insinto "$1/$2.d"
	newins "${FILESDIR}/$3" 10-colvert.conf
}

src_install() {
	colvert-meson_src_install
	exeinto /usr/lib/colvert
	doexe "${FILESDIR}"/units/{give-up,health}

	local units=/usr/lib/systemd/system initrd=/usr/lib/colvert/initrd/usr/lib/systemd/system
	insinto ${units}
	doins "${FILESDIR}"/units/*.service
	dosym ../colvert-health.service ${units}/boot-complete.target.requires/colvert-health.service
	drop_in ${units} boot-complete.target units/boot-complete.target.conf
	drop_in ${units} emergency.service units/emergency.service.conf
	drop_in ${units} systemd-bless-boot.service units/bless-boot.conf
	insinto ${initrd}
	doins "${FILESDIR}"/initrd/*.service
	# whatever systemd calls it, nobody comes to rescue
	newins "${FILESDIR}"/initrd/emergency.service rescue.service
	drop_in ${initrd} initrd.target initrd/initrd.target.conf

	insinto /usr/lib/systemd/system-preset
	doins "${FILESDIR}"/units/81-colvert-boot.preset
	insinto /usr/lib/tmpfiles.d
	newins "${FILESDIR}"/units/tmpfiles.conf colvert-boot.conf
	insinto /usr/lib/sysctl.d
	newins "${FILESDIR}"/units/sysctl.conf 60-colvert-boot.conf
}
