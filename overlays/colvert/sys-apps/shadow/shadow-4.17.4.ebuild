# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

inherit colvert-autotools

DESCRIPTION="login, and programs that keep users, groups and passwords"
HOMEPAGE="https://github.com/shadow-maint/shadow"
SRC_URI="
	https://github.com/shadow-maint/${PN}/releases/download/${PV}/${P}.tar.xz
	mirror://debian/pool/main/s/${PN}/${PN}_${PV}.orig.tar.xz -> ${P}.tar.xz
"

LICENSE="BSD GPL-2"
SLOT="0"
KEYWORDS="amd64"

DEPEND="
	sys-kernel/linux-headers
	sys-libs/libxcrypt
"
RDEPEND="sys-libs/libxcrypt"

src_prepare() {
	default
	# No logs of logins beside the journal, no mail, one directory of programs; a home is made.
	sed -i \
		-e '/^\(FAILLOG\|LASTLOG\|MAIL_CHECK\|PORTTIME_CHECKS\|QUOTAS\)_ENAB/s/yes/no/' \
		-e '/^\(CONSOLE\|FTMP_FILE\|MAIL_DIR\|ENV_HZ\)[[:space:]]/d' \
		-e '/^ENV_\(SU\)\?PATH/s,PATH=.*,PATH=/usr/bin,' \
		-e '$aENCRYPT_METHOD YESCRYPT\nCREATE_HOME yes' \
		etc/login.defs || die
}

src_configure() {
	local myeconfargs=(
		--bindir="${EPREFIX}/usr/bin"
		--with-yescrypt
		--disable-account-tools-setuid
		--disable-lastlog
		--disable-logind
		--disable-man
		--disable-nls
		--disable-subordinate-ids
		--without-acl
		--without-attr
		--without-audit
		--without-btrfs
		--without-libbsd
		--without-libpam
		--without-nscd
		--without-selinux
		--without-sssd
		--without-su
	)
	colvert-autotools_src_configure
}

src_install() {
	emake DESTDIR="${D}" install
	colvert_drop_archives
	local kept=( chage chpasswd gpasswd group{add,del,mod} grpck login passwd pwck user{add,del,mod} vi{gr,pw} )
	local program
	for program in "${ED}"/usr/bin/*; do
		has "${program##*/}" "${kept[@]}" || rm "${program}" || die
	done
	# Nothing in the image is setuid: passwords are set by root.
	find "${ED}"/usr/bin -type f -exec chmod 0755 {} + || die
	rm -rf "${ED}"/etc/{pam.d,shadow-maint,limits,login.access} || die
	insinto /etc/default
	doins "${FILESDIR}"/useradd
}
