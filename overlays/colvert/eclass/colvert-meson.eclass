# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

# @ECLASS: colvert-meson.eclass
# @MAINTAINER:
# Colvert Authors <colvert@example.org>
# @SUPPORTED_EAPIS: 8
# @PROVIDES: colvert-toolchain
# @BLURB: build with meson in cross mode against SYSROOT

case ${EAPI} in
	8) ;;
	*) die "${ECLASS}: EAPI ${EAPI:-0} not supported" ;;
esac

if [[ -z ${_COLVERT_MESON_ECLASS} ]]; then
_COLVERT_MESON_ECLASS=1

inherit colvert-toolchain

BDEPEND="dev-build/meson dev-build/ninja virtual/pkgconfig"

# @FUNCTION: meson_use
# @USAGE: <USE flag> [option name]
# @DESCRIPTION:
# Echo -Doption=true or -Doption=false.
meson_use() { usex "$1" "-D${2:-$1}=true" "-D${2:-$1}=false"; }

# @FUNCTION: meson_feature
# @USAGE: <USE flag> [option name]
# @DESCRIPTION:
# Echo -Doption=enabled or -Doption=disabled.
meson_feature() { usex "$1" "-D${2:-$1}=enabled" "-D${2:-$1}=disabled"; }

# @FUNCTION: _colvert_meson_list
# @USAGE: [word]...
# @INTERNAL
# @DESCRIPTION:
# Echo the words as a meson array.
_colvert_meson_list() {
	local word list=
	for word; do
		list+="'${word}', "
	done
	echo "[${list%, }]"
}

# @FUNCTION: colvert-meson_src_unpack
# @DESCRIPTION:
# Unpack the first distfile into ${S}.
colvert-meson_src_unpack() { colvert_unpack; }

# @FUNCTION: colvert-meson_src_configure
# @USAGE: [meson argument]...
# @DESCRIPTION:
# Write a cross file and run meson setup with the arguments and those in the array emesonargs.
colvert-meson_src_configure() {
	colvert_tc_export
	BUILD_DIR=${BUILD_DIR:-${WORKDIR}/${P}-build}
	cat > "${T}/cross.ini" <<-EOF || die
	[binaries]
	c = '${CC}'
	cpp = '${CXX}'
	ar = '${AR}'
	nm = '${NM}'
	strip = '${STRIP}'
	objcopy = '${OBJCOPY}'
	pkg-config = '${PKG_CONFIG}'
	[built-in options]
	c_args = $(_colvert_meson_list ${CFLAGS} ${CPPFLAGS})
	cpp_args = $(_colvert_meson_list ${CXXFLAGS} ${CPPFLAGS})
	c_link_args = $(_colvert_meson_list ${LDFLAGS})
	cpp_link_args = $(_colvert_meson_list ${LDFLAGS})
	[properties]
	sys_root = '${SYSROOT}'
	needs_exe_wrapper = true
	[host_machine]
	system = 'linux'
	cpu_family = 'x86_64'
	cpu = 'x86_64'
	endian = 'little'
	EOF
	local args=(
		meson setup --cross-file "${T}/cross.ini"
		--buildtype plain --prefix "${EPREFIX}/usr" --libdir "$(get_libdir)" --sbindir bin
		--sysconfdir "${EPREFIX}/etc" --localstatedir "${EPREFIX}/var"
		--wrap-mode nodownload -Db_pch=false -Db_pie=true -Ddefault_library=shared
		"${emesonargs[@]}" "$@" "${S}" "${BUILD_DIR}"
	)
	echo "${args[@]}"
	# The cross file has the target's flags; in the environment they would also
	# reach the build machine's compiler.
	env -u CC -u CXX -u CPP -u LD -u AR -u NM -u RANLIB -u STRIP -u OBJCOPY -u PKG_CONFIG \
		-u CFLAGS -u CXXFLAGS -u CPPFLAGS -u LDFLAGS "${args[@]}" || die "meson setup failed"
}

# @FUNCTION: colvert-meson_src_compile
# @USAGE: [ninja argument]...
# @DESCRIPTION:
# Run ninja.
colvert-meson_src_compile() { ninja -v -C "${BUILD_DIR}" ${MAKEOPTS} "$@" || die "ninja failed"; }

# @FUNCTION: colvert-meson_src_install
# @DESCRIPTION:
# Run ninja install.
colvert-meson_src_install() {
	DESTDIR="${D}" ninja -C "${BUILD_DIR}" install || die "ninja install failed"
	einstalldocs
	colvert_drop_archives
}

fi

EXPORT_FUNCTIONS src_unpack src_configure src_compile src_install
