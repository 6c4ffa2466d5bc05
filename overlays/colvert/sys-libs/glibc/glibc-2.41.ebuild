# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

COLVERT_NO_LIBC=1
inherit colvert-toolchain

DESCRIPTION="GNU C library"
HOMEPAGE="https://www.gnu.org/software/libc/"
# Debian takes the manual (GFDL) out of the tarball.
SRC_URI="mirror://debian/pool/main/g/glibc/glibc_${PV}.orig.tar.xz -> ${P}.tar.xz"

LICENSE="LGPL-2.1+ BSD HPND ISC inner-net"
SLOT="2.2"
KEYWORDS="amd64"

DEPEND="sys-kernel/linux-headers"
RDEPEND="sys-apps/baselayout"
BDEPEND="
	dev-build/make
	dev-lang/python
	sys-apps/gawk
	sys-devel/bison
"

src_unpack() { colvert_unpack; }

src_prepare() {
	default
	# No manual in the tarball; converters beyond the built-in ones and locales
	# other than C.UTF-8 are not for a minimal system.
	sed -i -E '/^all-subdirs = /,/[^\\]$/s/\b(iconvdata|manual|po|localedata)\b//g' Makeconfig || die
	grep -Eq '\biconv +wctype +argp\b' Makeconfig || die "subdirectories are not where they were"
}

src_configure() {
	colvert_tc_export
	mkdir "${WORKDIR}/build" || die
	cd "${WORKDIR}/build" || die
	printf '%s\n' slibdir=/usr/lib rtlddir=/usr/lib sbindir=/usr/bin rootsbindir=/usr/bin > configparms || die
	local myconf=(
		--host="${CHOST}" --build="${CBUILD}"
		--prefix=/usr --libdir=/usr/lib --libexecdir=/usr/lib/misc/glibc
		--sysconfdir=/etc --localstatedir=/var
		--with-headers="${ESYSROOT}/usr/include" --enable-kernel=5.10
		--enable-bind-now --enable-cet --enable-stack-protector=strong --enable-fortify-source=3
		--disable-profile --disable-werror --disable-nscd --disable-build-nscd --disable-timezone-tools
		--without-gd --without-selinux
		# configure asks the linker what only the compiler decides, and there is no C library to link with.
		libc_cv_supported_fortify_source=3
		libc_cv_slibdir=/usr/lib libc_cv_rtlddir=/usr/lib libc_cv_complocaledir=/usr/lib/locale
	)
	# The C library takes its hardening as configure options: it knows which of its
	# files run before the stack protector and relocation work.
	CXX= CFLAGS="-O2 -g1 -pipe -fstack-clash-protection" CPPFLAGS= LDFLAGS= \
		"${S}/configure" "${myconf[@]}" || die "configure failed"
}

src_compile() { emake -C "${WORKDIR}/build"; }

src_install() {
	emake -C "${WORKDIR}/build" DESTDIR="${D}" install
	# The loader keeps its symbols, which debuggers find threads and libraries with, and no more.
	"${CHOST}-strip" --strip-debug "${ED}/usr/lib/ld-linux-x86-64.so.2" || die
	dostrip -x /usr/lib/ld-linux-x86-64.so.2

	# C.UTF-8 is the one locale that every program may count on.
	dodir /usr/lib/locale
	I18NPATH="${S}/localedata" localedef --no-archive --little-endian -i C -f UTF-8 \
		"${ED}/usr/lib/locale/C.utf8" || die "localedef failed"

	rm -rf "${ED}"/etc/ld.so.cache "${ED}"/var/db "${ED}"/usr/share/{i18n,info,locale} \
		"${ED}"/usr/lib/{audit,gconv} "${ED}"/usr/bin/{catchsegv,iconvconfig,mtrace,sotruss,sprof,xtrace} \
		"${ED}"/usr/lib/lib{memusage,pcprofile}.so "${ED}"/usr/bin/{memusage,memusagestat,pcprofiledump} || die
}
