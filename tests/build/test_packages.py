"""Packages: hermetic, keyed by everything that matters and by nothing else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from builder.packages.explain import Why, explain, foresee

from builder.errors import Code, ColvertError, Exit
from builder.pipeline.key import digest_file
from builder.pipeline.store import Store
from builder.sandbox.home import set_slots
from tests.build.conftest import Workshop

DATA = 'src_install() { insinto /usr/share; newins - data <<<"one"; }'
USER = (
    'DEPEND="app-misc/data"\nsrc_install() { insinto /usr/share; newins "${SYSROOT}/usr/share/data" copy; }'
)


def test_a_package_is_built_once(workshop: Workshop) -> None:
    workshop.ebuild("app-misc/data-1", DATA)
    entry = workshop.build("app-misc/data")["app-misc/data-1"]
    assert workshop.made() == ["app-misc/data-1"]
    assert (entry.out / "image/usr/share/data").read_text() == "one\n"
    workshop.build("app-misc/data")
    assert workshop.made() == []


def test_a_change_rebuilds_what_depends_on_it(workshop: Workshop) -> None:
    workshop.ebuild("app-misc/data-1", DATA)
    workshop.ebuild("app-misc/user-1", USER)
    workshop.ebuild("app-misc/bystander-1", "src_install() { :; }")
    atoms = ("app-misc/user", "app-misc/bystander")
    workshop.build(*atoms)
    workshop.ebuild("app-misc/data-1", DATA.replace("one", "two"))
    entries = workshop.build(*atoms)
    assert workshop.made() == ["app-misc/data-1", "app-misc/user-1"]
    assert (entries["app-misc/user-1"].out / "image/usr/share/copy").read_text() == "two\n"


def test_rebuilding_stops_where_the_result_is_the_same(workshop: Workshop) -> None:
    workshop.ebuild("app-misc/data-1", DATA)
    workshop.ebuild("app-misc/user-1", USER)
    workshop.build("app-misc/user")
    workshop.ebuild("app-misc/data-1", f"{DATA}\n# a remark")
    workshop.build("app-misc/user")
    assert workshop.made() == ["app-misc/data-1"]


def test_use_flags_and_files_are_part_of_the_key(workshop: Workshop) -> None:
    body = 'IUSE="static-libs"\nsrc_install() { insinto /usr/share; doins "${FILESDIR}"/text; }'
    workshop.ebuild("app-misc/data-1", body, {"text": "a"})
    workshop.build("app-misc/data")
    workshop.build("app-misc/data", use={"app-misc/data": ("static-libs",)})
    assert workshop.made() == ["app-misc/data-1"]
    workshop.ebuild("app-misc/data-1", body, {"text": "b"})
    workshop.build("app-misc/data")
    assert workshop.made() == ["app-misc/data-1"]


def test_an_undeclared_dependency_is_not_there(workshop: Workshop) -> None:
    workshop.ebuild("app-misc/data-1", DATA)
    workshop.ebuild("app-misc/user-1", USER.replace('DEPEND="app-misc/data"', ""))
    with pytest.raises(ColvertError) as caught:
        workshop.build("app-misc/data", "app-misc/user")
    assert caught.value.code is Code.PACKAGE_FAILED
    assert caught.value.exit is Exit.BUILD


def test_a_failure_shows_the_end_of_the_log_and_keeps_the_work(workshop: Workshop) -> None:
    workshop.ebuild(
        "app-misc/bad-1", 'src_compile() { echo "about to fail"; touch evidence; die "on purpose"; }'
    )
    with pytest.raises(ColvertError) as caught:
        workshop.build("app-misc/bad")
    assert any("on purpose" in line for line in caught.value.detail)
    assert "colvert shell app-misc/bad" in caught.value.hint
    assert caught.value.where is not None
    assert "about to fail" in Path(caught.value.where.file).read_text()
    assert list((workshop.home.root / "failed").rglob("evidence"))


def test_a_failure_does_not_lose_what_was_built_beside_it(workshop: Workshop) -> None:
    workshop.ebuild("app-misc/bad-1", 'src_compile() { die "on purpose"; }')
    workshop.ebuild("app-misc/slow-1", "src_compile() { sleep 5; }\nsrc_install() { :; }")
    with pytest.raises(ColvertError):
        workshop.build("app-misc/bad", "app-misc/slow")
    workshop.build("app-misc/slow")
    assert workshop.made() == []


HOSTILE = r"""
src_compile() {
	# everything a build step can reach, spoiled as thoroughly as it can
	chmod 0777 /dev/null /dev/zero 2>/dev/null
	chown 1:1 /dev/null 2>/dev/null
	rm -rf /usr /etc /build/repos /build/sysroot /build/distfiles 2>/dev/null
	for target in /etc/passwd /usr/bin/env /run/compile-slots/000 "${SYSROOT}"/usr/share/data; do
		{ echo spoiled > "${target}"; } 2>/dev/null
	done
	touch -d 2000-01-01 /usr/bin/env "${SYSROOT}"/usr/share/data 2>/dev/null
	kill -9 -1 2>/dev/null
	true
}
src_install() { :; }
"""


def _state(path: Path) -> tuple[int, int, int, int]:
    info = path.stat()
    return stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_size


def test_a_hostile_build_step_leaves_everything_as_it_was(workshop: Workshop) -> None:
    workshop.ebuild("app-misc/data-1", DATA)
    data = workshop.build("app-misc/data")["app-misc/data-1"]
    watched = [
        Path("/dev/null"),
        Path("/dev/zero"),
        Path("/etc/passwd"),
        workshop.sdk.root / "etc/passwd",
        workshop.sdk.root / "usr/bin/env",
        workshop.home.slots / "000",
        data.out / "image/usr/share/data",
        workshop.overlay / "profiles/repo_name",
    ]
    before = {path: _state(path) for path in watched}
    workshop.ebuild("app-misc/hostile-1", f'DEPEND="app-misc/data"\n{HOSTILE}')
    with pytest.raises(ColvertError):  # it kills its own Portage
        workshop.build("app-misc/hostile")
    assert {path: _state(path) for path in watched} == before
    assert os.getpid() > 0


def test_a_build_has_no_network_and_no_id_of_the_host(workshop: Workshop) -> None:
    body = r"""
src_install() {
	insinto /usr/share
	newins - interfaces < <(tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ')
	newins - map < /proc/self/uid_map
	newins - environment < <(env | cut -d= -f1 | sort)
}
"""
    workshop.ebuild("app-misc/look-1", body)
    share = workshop.build("app-misc/look")["app-misc/look-1"].out / "image/usr/share"
    assert (share / "interfaces").read_text().split() == ["lo"]
    inside, outside, count = (share / "map").read_text().split()
    assert (inside, count) == ("0", "1")
    assert int(outside) != 0
    assert not {"SSH_AUTH_SOCK", "SUDO_USER", "COLVERT_HOME"} & set(
        (share / "environment").read_text().split()
    )


def test_no_more_compilers_run_than_there_are_slots(workshop: Workshop) -> None:
    """Six compilers that log when they run, one slot: no two of them overlap."""
    set_slots(workshop.home, 1)
    body = r"""
src_compile() {
	echo 'int f(void) { return 0; }' > x.c
	# -wrapper runs inside the slot, around the compiler proper
	cat > w <<-EOF
	#!/bin/sh
	echo + >> "${T}/log"
	sleep 0.3
	"\$@"
	status=\$?
	echo - >> "${T}/log"
	exit \${status}
	EOF
	chmod +x w
	for n in 1 2 3 4 5 6; do
		${CHOST}-gcc -wrapper "${PWD}/w" -S x.c -o "${n}.s" &
	done
	wait
}
src_install() { insinto /usr/share; newins "${T}/log" log; }
"""
    workshop.ebuild("app-misc/many-1", body)
    log = (workshop.build("app-misc/many")["app-misc/many-1"].out / "image/usr/share/log").read_text().split()
    assert log == ["+", "-"] * 6


def test_the_number_of_jobs_leaves_no_trace(workshop: Workshop) -> None:
    workshop.ebuild("app-misc/data-1", f'src_compile() {{ echo "jobs ${{MAKEOPTS}}"; }}\n{DATA}')
    digests, logs = set(), []
    for count in (1, 3):
        set_slots(workshop.home, count)
        entry = workshop.build("app-misc/data")["app-misc/data-1"]
        digests.add(digest_file(entry.out / "package.gpkg.tar"))
        logs.append((workshop.home.root / "logs/app-misc/data-1.log").read_text())
        Store(workshop.home.store).remove(entry)
    assert ["jobs -j1" in logs[0], "jobs -j3" in logs[1]] == [True, True]
    assert len(digests) == 1


def test_unknown_atoms_and_flags_are_explained(workshop: Workshop) -> None:
    workshop.ebuild("app-misc/data-1", 'DEPEND="app-misc/nothing"\nsrc_install() { :; }')
    for atoms in (("app-misc/absent",), ("app-misc/data",)):
        with pytest.raises(ColvertError) as caught:
            workshop.plan(*atoms)
        assert caught.value.code is Code.UNRESOLVABLE
        assert caught.value.exit is Exit.INPUT
        assert caught.value.detail


def test_plan_and_explain_tell_why(workshop: Workshop) -> None:
    workshop.ebuild("app-misc/data-1", DATA)
    workshop.ebuild("app-misc/user-1", USER)
    assert [row.why for row in foresee(workshop.builder("app-misc/user"))] == [Why.NEW, Why.NEW]
    workshop.build("app-misc/user")
    assert [row.why for row in foresee(workshop.builder("app-misc/user"))] == [Why.STORED, Why.STORED]
    workshop.ebuild("app-misc/data-1", DATA.replace("one", "two"))
    builder = workshop.builder("app-misc/user")
    assert [row.why for row in foresee(builder)] == [Why.CHANGED, Why.DEPENDENCY]
    row, changes, _ = explain(builder, builder.plan.find("app-misc/data"))
    assert [change.name for change in changes] == ["ebuild"]
    assert row.cause == "ebuild"


def test_a_damaged_dependency_is_found_and_made_again(workshop: Workshop) -> None:
    workshop.ebuild("app-misc/data-1", DATA)
    workshop.ebuild("app-misc/user-1", USER)
    entry = workshop.build("app-misc/data")["app-misc/data-1"]
    (entry.out / "image/usr/share/data").write_text("bad\n")
    with pytest.raises(ColvertError) as caught:
        workshop.build("app-misc/user")
    assert caught.value.code is Code.STORE_CORRUPT
    entries = workshop.build("app-misc/user")
    assert (entries["app-misc/user-1"].out / "image/usr/share/copy").read_text() == "one\n"


CAPABLE = """RESTRICT="strip binchecks"
src_install() {
	newbin - tool <<<"#!/bin/sh"
	python3 -c 'import os, sys; os.setxattr(sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3]))' \\
		"${ED}/usr/bin/tool" "ATTRIBUTE" 0100000200200000000000000000000000000000 || die
}"""
FILECAPS = """IUSE="+filecaps"
src_install() { newbin - tool <<<"#!/bin/sh"; }
fcaps() { use filecaps && setcap "$@"; }
pkg_postinst() { fcaps cap_net_raw usr/bin/tool; }"""


@pytest.mark.parametrize("attribute", ["security.capability", "user.note"])
def test_extended_attributes_that_would_be_lost(workshop: Workshop, attribute: str) -> None:
    workshop.ebuild("app-misc/tool-1", CAPABLE.replace("ATTRIBUTE", attribute))
    with pytest.raises(ColvertError) as caught:
        workshop.build("app-misc/tool")
    assert caught.value.code is Code.PACKAGE_FAILED
    assert f"ERROR: /usr/bin/tool has the extended attribute {attribute}" in "\n".join(caught.value.detail)


def test_capabilities_that_a_phase_would_set_which_does_not_run(workshop: Workshop) -> None:
    workshop.ebuild("app-misc/tool-1", FILECAPS)
    with pytest.raises(ColvertError) as caught:
        workshop.build("app-misc/tool")
    assert "ERROR: pkg_postinst sets capabilities of files" in "\n".join(caught.value.detail)
    workshop.ebuild("app-misc/tool-1", FILECAPS.replace("+filecaps", "filecaps"))
    assert workshop.build("app-misc/tool")
