# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

DESCRIPTION="Time zones of the world, as zic compiles them"
HOMEPAGE="https://www.iana.org/time-zones"
SRC_URI="
	https://data.iana.org/time-zones/releases/tzdata${PV}.tar.gz
	mirror://debian/pool/main/t/tzdata/tzdata_${PV}.orig.tar.gz -> tzdata${PV}.tar.gz
"
S="${WORKDIR}"

LICENSE="BSD public-domain"
SLOT="0"
KEYWORDS="amd64"

BDEPEND="sys-apps/gawk"

ZONES=( africa antarctica asia australasia europe northamerica southamerica etcetera factory backward )

src_compile() {
	# timedatectl lists the zones from tzdata.zi; the file named version is upstream's.
	emake AWK=gawk VERSION_DEPS= tzdata.zi
	# zic is a part of the C library, and so of the SDK. Slim files hold no transitions
	# that the rule at their end tells as well.
	PATH=${PATH}:/usr/sbin zic -b slim -d zoneinfo "${ZONES[@]}" || die "zic failed"
}

src_install() {
	insinto /usr/share/zoneinfo
	doins -r zoneinfo/.
	doins iso3166.tab leap-seconds.list tzdata.zi zone.tab zone1970.tab
}
