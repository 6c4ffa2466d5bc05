# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

# @ECLASS: colvert-autotools.eclass
# @MAINTAINER:
# Colvert Authors <colvert@example.org>
# @SUPPORTED_EAPIS: 8
# @PROVIDES: colvert-toolchain
# @BLURB: build with autoconf-style configure scripts against SYSROOT

case ${EAPI} in
	8) ;;
	*) die "${ECLASS}: EAPI ${EAPI:-0} not supported" ;;
esac

if [[ -z ${_COLVERT_AUTOTOOLS_ECLASS} ]]; then
_COLVERT_AUTOTOOLS_ECLASS=1

inherit colvert-toolchain

BDEPEND="dev-build/autoconf dev-build/automake dev-build/libtool sys-devel/gettext"

# @ECLASS_VARIABLE: COLVERT_AUTORECONF
# @DEFAULT_UNSET
# @DESCRIPTION:
# Set to any value to regenerate configure even where the tarball has one.

# @FUNCTION: colvert-autotools_src_unpack
# @DESCRIPTION:
# Unpack the first distfile into ${S}.
colvert-autotools_src_unpack() { colvert_unpack; }

# @FUNCTION: colvert-autotools_src_prepare
# @DESCRIPTION:
# Apply patches; make configure where it is missing or asked for.
colvert-autotools_src_prepare() {
	default
	if [[ -n ${COLVERT_AUTORECONF} || ! -e configure ]]; then
		AUTOPOINT=true autoreconf -fi || die "autoreconf failed"
	fi
}

# @FUNCTION: colvert-autotools_src_configure
# @USAGE: [configure argument]...
# @DESCRIPTION:
# Run configure with the arguments and those in the array myeconfargs.
colvert-autotools_src_configure() {
	colvert_tc_export
	econf --sbindir="${EPREFIX}/usr/bin" --disable-static "${myeconfargs[@]}" "$@"
}

# @FUNCTION: colvert-autotools_src_install
# @DESCRIPTION:
# make install, less libtool archives.
colvert-autotools_src_install() {
	default
	colvert_drop_archives
}

fi

EXPORT_FUNCTIONS src_unpack src_prepare src_configure src_install
