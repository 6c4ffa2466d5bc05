"""Packages: hermetic, keyed by everything that matters and by nothing else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from builder.errors import Code, ColvertError, Exit
from builder.pipeline.dry_run import Change, Row, Why, compare, dry_run
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
        log = workshop.log("app-misc/data-1")
        assert log is not None
        logs.append(log.read_text())
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


def _foreseen(workshop: Workshop, atom: str) -> dict[str, Row]:
    executor = workshop.executor()
    return {row.job.name: row for row in dry_run(executor, workshop.builder(executor, atom).jobs())}


def test_plan_and_explain_tell_why(workshop: Workshop) -> None:
    data, user = "app-misc/data-1", "app-misc/user-1"
    workshop.ebuild(data, DATA)
    workshop.ebuild(user, USER)
    rows = _foreseen(workshop, "app-misc/user")
    assert {name: row.why for name, row in rows.items()} == {data: Why.NEW, user: Why.NEW}
    workshop.build("app-misc/user")
    rows = _foreseen(workshop, "app-misc/user")
    assert {name: row.why for name, row in rows.items()} == {data: Why.STORED, user: Why.STORED}
    workshop.ebuild(data, DATA.replace("one", "two"))
    rows = _foreseen(workshop, "app-misc/user")
    assert {name: row.why for name, row in rows.items()} == {data: Why.CHANGED, user: Why.DEPENDENCY}
    file, change = compare(rows[data].before, rows[data].inputs)
    assert file.name == "file testing/app-misc/data/data-1.ebuild"
    assert file.before and file.after
    assert isinstance(change, Change)
    assert change.name.startswith("recipe")
    assert rows[data].cause == f"{change.name}, {file.name}"


def test_a_damaged_dependency_is_found_and_made_again(workshop: Workshop) -> None:
    workshop.ebuild("app-misc/data-1", DATA)
    workshop.ebuild("app-misc/user-1", USER)
    entry = workshop.build("app-misc/data")["app-misc/data-1"]
    spoilt = entry.out / "image/usr/share/data"
    spoilt.chmod(0o644)
    spoilt.write_text("bad\n")
    with pytest.raises(ColvertError) as caught:
        workshop.build("app-misc/user")
    assert caught.value.code is Code.STORE_CORRUPT
    entries = workshop.build("app-misc/user")
    assert (entries["app-misc/user-1"].out / "image/usr/share/copy").read_text() == "one\n"
