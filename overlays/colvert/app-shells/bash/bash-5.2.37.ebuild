# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

DESCRIPTION="The GNU Bourne Again shell, which is also this system's sh"
HOMEPAGE="https://www.gnu.org/software/bash/"
# Upstream's 5.2 with its 37 patches applied, packed anew by Debian.
SRC_URI="mirror://debian/pool/main/b/bash/bash_${PV}.orig.tar.xz -> ${P}+debian.tar.xz"

LICENSE="GPL-3+"
SLOT="0"
KEYWORDS="amd64"

DEPEND="sys-libs/ncurses"
RDEPEND="${DEPEND}"

src_prepare() {
	colvert-autotools_src_prepare

	# PATH for whoever has none yet: /usr/sbin is a link to /usr/bin, and "." is a trap.
	sed -i \
		-e 's|"/usr/local/bin:.*:\."|"/usr/local/bin:/usr/bin"|' \
		-e 's|"/bin:/usr/bin:/sbin:/usr/sbin:/etc:/usr/etc"|"/usr/bin"|' \
		-e 's|"/usr/local/lib/bash:.*:\."|"/usr/local/lib/bash:/usr/lib/bash"|' \
		-e 's|^/\* #define SYS_BASHRC .*|#define SYS_BASHRC "/etc/bash/bashrc"|' \
		-e 's|^/\* #define SYS_BASH_LOGOUT .*|#define SYS_BASH_LOGOUT "/etc/bash/bash_logout"|' \
		-e 's|^/\* #define SSH_SOURCE_BASHRC \*/|#define SSH_SOURCE_BASHRC|' \
		config-top.h || die

	# The builtins to load at run time are examples. Some do not link in our way of building, make goes on
	# all the same, and what is installed by then depends on the number of jobs.
	sed -i -e '/^	-( cd $(LOADABLES_DIR) /d' Makefile.in || die
	! grep -q '^	-( cd $(LOADABLES_DIR)' Makefile.in || die
}

src_configure() {
	# configure runs nothing in cross mode and then takes the answers of the oldest Unix
	# it knows. These are the ones that a native run on this C library has otherwise.
	local -x \
		ac_cv_func_working_mktime=yes \
		bash_cv_getcwd_malloc=yes \
		bash_cv_printf_a_format=yes \
		bash_cv_sys_named_pipes=present \
		bash_cv_ulimit_maxfds=yes \
		bash_cv_unusable_rtsigs=no \
		bash_cv_wexitstatus_offset=8
	local myeconfargs=(
		--disable-nls
		--disable-rpath
		--with-curses
		--without-bash-malloc
		--without-installed-readline
	)
	colvert-autotools_src_configure
}

src_install() {
	colvert-autotools_src_install

	dosym bash /usr/bin/sh
	# it wants a mailer
	rm "${ED}"/usr/bin/bashbug || die

	insinto /etc
	doins "${FILESDIR}"/profile
	insinto /etc/bash
	doins "${FILESDIR}"/bashrc
	insinto /etc/skel
	newins "${FILESDIR}"/skel-bash_profile .bash_profile
	newins "${FILESDIR}"/skel-bashrc .bashrc
	keepdir /etc/profile.d
}
