# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

# @ECLASS: colvert-own.eclass
# @MAINTAINER:
# Colvert Authors <colvert@example.org>
# @SUPPORTED_EAPIS: 8
# @PROVIDES: colvert-meson
# @BLURB: build and test the programs that are written for Colvert
# @DESCRIPTION:
# Their sources are the ebuild's own files: meson.build, src/ and test/. The tests are made for
# the target and take seconds, so every build runs them, with the target's loader and libraries.

case ${EAPI} in
	8) ;;
	*) die "${ECLASS}: EAPI ${EAPI:-0} not supported" ;;
esac

if [[ -z ${_COLVERT_OWN_ECLASS} ]]; then
_COLVERT_OWN_ECLASS=1

inherit colvert-meson

# @FUNCTION: colvert-own_src_unpack
# @DESCRIPTION:
# Copy the ebuild's files into ${S}.
colvert-own_src_unpack() {
	mkdir -p "${S}" || die
	cp -r "${FILESDIR}"/. "${S}" || die
}

# @FUNCTION: colvert-own_src_compile
# @DESCRIPTION:
# Run ninja, and each test-* that it made.
colvert-own_src_compile() {
	colvert-meson_src_compile
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

fi

EXPORT_FUNCTIONS src_unpack src_compile
