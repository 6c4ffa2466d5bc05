# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

# @ECLASS: colvert-toolchain.eclass
# @MAINTAINER:
# Colvert Authors <colvert@example.org>
# @SUPPORTED_EAPIS: 8
# @BLURB: the SDK's sysrooted compiler, and the C library as a dependency
# @DESCRIPTION:
# Every ebuild that compiles C or C++ for the image inherits this, directly or through
# one of the colvert-* build system eclasses. The ${CHOST}-* programs add
# --sysroot=${SYSROOT}; a package that needs more than the C library declares it.

case ${EAPI} in
	8) ;;
	*) die "${ECLASS}: EAPI ${EAPI:-0} not supported" ;;
esac

if [[ -z ${_COLVERT_TOOLCHAIN_ECLASS} ]]; then
_COLVERT_TOOLCHAIN_ECLASS=1

# @ECLASS_VARIABLE: COLVERT_NO_LIBC
# @PRE_INHERIT
# @DEFAULT_UNSET
# @DESCRIPTION:
# Set to any value by packages that come before the C library.
if [[ -z ${COLVERT_NO_LIBC} ]]; then
	# The C library's headers include the kernel's.
	DEPEND="sys-kernel/linux-headers sys-libs/glibc sys-devel/gcc-runtime"
	RDEPEND="sys-libs/glibc"
fi

# @FUNCTION: colvert_tc_export
# @DESCRIPTION:
# Export the names of the target's and the build machine's tools.
colvert_tc_export() {
	export CC=${CHOST}-gcc CXX=${CHOST}-g++ CPP="${CHOST}-gcc -E"
	export AR=${CHOST}-ar NM=${CHOST}-nm RANLIB=${CHOST}-ranlib LD=${CHOST}-ld
	export STRIP=${CHOST}-strip OBJCOPY=${CHOST}-objcopy OBJDUMP=${CHOST}-objdump
	export READELF=${CHOST}-readelf PKG_CONFIG=${CHOST}-pkg-config
	export BUILD_CC=gcc CC_FOR_BUILD=gcc
}

# @FUNCTION: colvert_unpack
# @USAGE: [distfile]
# @DESCRIPTION:
# Unpack one tarball (the first of ${A} by default) into ${S}, whatever its top directory
# is called: Debian's repacked sources often have another name than upstream's.
colvert_unpack() {
	mkdir -p "${S}" || die
	tar -xf "${DISTDIR}/${1:-${A%% *}}" -C "${S}" --strip-components=1 --no-same-owner || die "unpacking failed"
}

# @FUNCTION: colvert_drop_archives
# @DESCRIPTION:
# Remove libtool archives always, static libraries unless USE=static-libs asks for them.
colvert_drop_archives() {
	find "${ED}" -name '*.la' -delete || die
	if ! has static-libs ${IUSE//+} || ! use static-libs; then
		find "${ED}" -name '*.a' -delete || die
	fi
}

fi
