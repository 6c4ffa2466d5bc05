# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

# @ECLASS: colvert-cmake.eclass
# @MAINTAINER:
# Colvert Authors <colvert@example.org>
# @SUPPORTED_EAPIS: 8
# @PROVIDES: colvert-toolchain
# @BLURB: build with cmake in cross mode against SYSROOT

case ${EAPI} in
	8) ;;
	*) die "${ECLASS}: EAPI ${EAPI:-0} not supported" ;;
esac

if [[ -z ${_COLVERT_CMAKE_ECLASS} ]]; then
_COLVERT_CMAKE_ECLASS=1

inherit colvert-toolchain

BDEPEND="dev-build/cmake dev-build/ninja virtual/pkgconfig"

# @FUNCTION: colvert-cmake_src_unpack
# @DESCRIPTION:
# Unpack the first distfile into ${S}.
colvert-cmake_src_unpack() { colvert_unpack; }

# @FUNCTION: colvert-cmake_src_configure
# @USAGE: [cmake argument]...
# @DESCRIPTION:
# Run cmake with the arguments and those in the array mycmakeargs.
colvert-cmake_src_configure() {
	colvert_tc_export
	BUILD_DIR=${BUILD_DIR:-${WORKDIR}/${P}-build}
	cmake -G Ninja -S "${S}" -B "${BUILD_DIR}" \
		-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=x86_64 \
		-DCMAKE_C_COMPILER="$(type -P "${CC}")" -DCMAKE_CXX_COMPILER="$(type -P "${CXX}")" \
		-DCMAKE_FIND_ROOT_PATH="${ESYSROOT}" -DCMAKE_FIND_ROOT_PATH_MODE_PROGRAM=NEVER \
		-DCMAKE_FIND_ROOT_PATH_MODE_LIBRARY=ONLY -DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY \
		-DCMAKE_FIND_ROOT_PATH_MODE_PACKAGE=ONLY \
		-DCMAKE_INSTALL_PREFIX="${EPREFIX}/usr" -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_INSTALL_SBINDIR=bin \
		-DCMAKE_BUILD_TYPE=None -DCMAKE_POLICY_VERSION_MINIMUM=3.5 -DCMAKE_SKIP_RPATH=ON \
		"${mycmakeargs[@]}" "$@" || die "cmake failed"
}

# @FUNCTION: colvert-cmake_src_compile
# @USAGE: [ninja argument]...
# @DESCRIPTION:
# Run ninja.
colvert-cmake_src_compile() { ninja -v -C "${BUILD_DIR}" ${MAKEOPTS} "$@" || die "ninja failed"; }

# @FUNCTION: colvert-cmake_src_install
# @DESCRIPTION:
# Run ninja install.
colvert-cmake_src_install() {
	DESTDIR="${D}" ninja -C "${BUILD_DIR}" install || die "ninja install failed"
	einstalldocs
	colvert_drop_archives
}

fi

EXPORT_FUNCTIONS src_unpack src_configure src_compile src_install
