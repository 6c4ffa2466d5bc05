"""Packages: what a build's sandbox is made of, and what a failed build leaves; nothing is compiled."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from builder.errors import Code, ColvertError
from builder.packages.distfile import Source
from builder.packages.package import (
    IMAGE,
    VDB,
    Dependency,
    Package,
    Room,
    failed_path,
    latest_failure,
    log_path,
)
from builder.packages.portage.config import Repository
from builder.pipeline.entry import Entry
from builder.pipeline.executor import Executor
from builder.pipeline.ingest import ingest_texts
from builder.pipeline.key import digest_tree
from builder.pipeline.stage import Stage, Work
from builder.sandbox.run import Command, command
from tests.unit.stages import NoSdk, damage, executor

EBUILD = "app-misc/x/x-1.ebuild"


@dataclass(frozen=True)
class Built(Stage):
    """A package that was compiled: files and links of its image by path, `*` behind a program."""

    name: ClassVar[str] = "package"

    cpv: str
    files: Mapping[str, str]
    links: Mapping[str, str]

    @property
    def label(self) -> str:
        return self.cpv

    def run(self, work: Work) -> None:
        (work.out / IMAGE).mkdir()
        for name, text in self.files.items():
            path = work.out / IMAGE / name.rstrip("*/")
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("/"):
                path.mkdir(exist_ok=True)
                continue
            path.write_text(text)
            path.chmod(0o4755 if name.endswith("*") else 0o640)
        for name, target in self.links.items():
            (work.out / IMAGE / name).parent.mkdir(parents=True, exist_ok=True)
            (work.out / IMAGE / name).symlink_to(target)
        (work.out / VDB).mkdir()
        (work.out / VDB / "SLOT").write_text("0\n")


@pytest.fixture
def run(tmp_path: Path) -> Executor:
    return executor(tmp_path / "store")


def built(run: Executor, cpv: str, *names: str, **links: str) -> Entry:
    """A built package with files that say whose they are."""
    return run.obtain(
        Built(cpv, dict.fromkeys(names, cpv), {n.replace("_", "/"): t for n, t in links.items()})
    )


def package(run: Executor, *below: Entry, **fields: object) -> Package:
    recipe = ingest_texts(run.store, "recipe", {f"first/{EBUILD}": b"EAPI=8\n"})
    made = Package(
        cpv="app-misc/x-1",
        slot="0",
        repository="first",
        ebuild=EBUILD,
        use=("ssl",),
        iuse=("ssl", "static"),
        repositories=(Repository("first"),),
        profile="default",
        recipe=recipe,
        sources=(),
        dependencies=tuple(Dependency(one.record.label, one.part(IMAGE), one.part(VDB)) for one in below),
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def laid_out(run: Executor, stage: Package, look: Callable[[Room], object] = lambda _room: None) -> None:
    """Lay a package's room out, as a process that starts now does, and look at it."""
    fresh = executor(run.store.root)
    with fresh.working(stage) as work:
        look(stage.lay_out(work))


def refused(run: Executor, stage: Package) -> ColvertError:
    with pytest.raises(ColvertError) as caught:
        laid_out(run, stage)
    assert list((run.store.root / "tmp").iterdir()) == []
    return caught.value


def check_all(run: Executor) -> None:
    """Every artifact is what its name says, read by a process that remembers nothing."""
    fresh = executor(run.store.root).store
    for entry in fresh.entries():
        fresh.check(entry.artifact)


# --- the sysroot ----------------------------------------------------------------------


def test_a_sysroot_has_what_its_packages_give_and_their_true_modes(run: Executor) -> None:
    one = built(run, "a/one-1", "usr/lib/one.so", "usr/bin/tool*", usr_lib64="lib")
    two = built(run, "a/two-1", "usr/lib/two.so", usr_lib64="lib")

    def look(room: Room) -> None:
        paths = [path for path in room.sysroot.rglob("*") if path.is_symlink() or path.is_file()]
        found = {str(path.relative_to(room.sysroot)) for path in paths}
        assert found == {
            "usr/lib/one.so",
            "usr/bin/tool",
            "usr/lib64",
            "usr/lib/two.so",
            "var/db/pkg/a/one-1/SLOT",
            "var/db/pkg/a/two-1/SLOT",
        }
        modes = {name: stat.S_IMODE((room.sysroot / name).stat().st_mode) for name in found}
        assert modes["usr/lib/one.so"] == 0o640
        assert modes["usr/bin/tool"] == 0o4755
        assert (room.sysroot / "usr/lib64").readlink() == Path("lib")

    laid_out(run, package(run, one, two), look)


def test_two_packages_with_one_path_are_an_error_that_names_both(run: Executor) -> None:
    """Once the second one wrote through a hard link into what the store has of the first."""
    one = built(run, "a/one-1", "usr/share/info/dir")
    two = built(run, "a/two-1", "usr/share/info/dir")
    before = [digest_tree(entry.path) for entry in (one, two)]
    for below in ((one, two), (two, one)):
        error = refused(run, package(run, *below))
        assert error.code is Code.PACKAGE_FAILED
        for word in ("app-misc/x-1", "a/one-1", "a/two-1", "/usr/share/info/dir"):
            assert word in error.what
        assert error.hint
    assert [digest_tree(entry.path) for entry in (one, two)] == before
    check_all(run)


def test_the_same_content_of_two_packages_is_an_error_too(run: Executor) -> None:
    """Which of them is newer tomorrow decides nothing today."""
    one = run.obtain(Built("a/one-1", {"usr/file": "same"}, {}))
    two = run.obtain(Built("a/two-1", {"usr/file": "same", "more": ""}, {}))
    assert refused(run, package(run, one, two)).code is Code.PACKAGE_FAILED


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        # (files, links) of each; whether the message names both
        (({"usr/x": ""}, {}), ({}, {"usr/x": "y"}), True),
        (({}, {"usr/x": "y"}), ({"usr/x": ""}, {}), True),
        (({}, {"usr/x": "y"}), ({}, {"usr/x": "z"}), True),
        (({"usr/x/y": ""}, {}), ({"usr/x": ""}, {}), True),
        (({"usr/x/y": ""}, {}), ({}, {"usr/x": "z"}), True),
        (({"usr/x": ""}, {}), ({"usr/x/y": ""}, {}), False),
        (({}, {"usr/x": "z"}), ({"usr/x/y": ""}, {}), False),
        (({}, {"usr/x": "../../../../etc"}), ({"usr/x/passwd": ""}, {}), False),
    ],
)
def test_whatever_two_packages_make_of_one_path_is_an_error(
    run: Executor,
    first: tuple[dict[str, str], dict[str, str]],
    second: tuple[dict[str, str], dict[str, str]],
    both: bool,
) -> None:
    one, two = run.obtain(Built("a/one-1", *first)), run.obtain(Built("a/two-1", *second))
    error = refused(run, package(run, one, two))
    assert error.code is Code.PACKAGE_FAILED
    assert "/usr/x" in error.what and "a/one-1" in error.what
    assert not both or "a/two-1" in error.what
    check_all(run)


def test_folders_and_equal_links_are_shared(run: Executor) -> None:
    one = built(run, "a/one-1", "usr/share/one/", usr_lib64="lib")
    two = built(run, "a/two-1", "usr/share/two/", usr_lib64="lib")

    def look(room: Room) -> None:
        assert {path.name for path in (room.sysroot / "usr/share").iterdir()} == {"one", "two"}

    laid_out(run, package(run, one, two), look)


def test_what_a_build_does_to_its_sysroot_stays_there(run: Executor) -> None:
    one = built(run, "a/one-1", "usr/lib/one.so", "usr/bin/tool*")

    def look(room: Room) -> None:
        for path in list(room.sysroot.rglob("*")):
            if path.is_file():
                with path.open("r+") as stream:
                    stream.write("CHANGED")
        (room.sysroot / "usr/lib/one.so").unlink()

    laid_out(run, package(run, one), look)
    check_all(run)
    assert (one.out / "image/usr/bin/tool").read_text() == "a/one-1"


def test_a_damaged_dependency_is_found_before_anything_starts(run: Executor) -> None:
    one = built(run, "a/one-1", "usr/lib/one.so")
    damage(one, "image/usr/lib/one.so")
    assert refused(run, package(run, one)).code is Code.STORE_CORRUPT
    assert len(list((run.store.root / "aside").iterdir())) == 1


# --- what else is in the room ----------------------------------------------------------


def test_the_room_has_the_recipe_and_what_the_fields_say(run: Executor) -> None:
    source = Source("x-1.tar", 3, "b2", "512")

    def look(room: Room) -> None:
        repository = room.repositories / "first"
        assert (repository / EBUILD).read_text() == "EAPI=8\n"
        assert (repository / "profiles/categories").read_text() == "app-misc\n"
        manifest = (repository / "app-misc/x/Manifest").read_text()
        assert manifest == "DIST x-1.tar 3 BLAKE2B b2 SHA512 512\n"
        use = (room.path / "config/portage/package.use").read_text()
        assert use == "=app-misc/x-1 ssl -static\n"
        assert [path.name for path in room.distfiles.iterdir()] == ["x-1.tar"]
        assert not room.fragments.exists()

    laid_out(run, package(run, sources=(source,)), look)


def test_fragments_are_in_the_room(run: Executor) -> None:
    fragments = ingest_texts(run.store, "fragments", {"00-a": b"CONFIG_A=y\n"})

    def look(room: Room) -> None:
        assert (room.fragments / "00-a").read_text() == "CONFIG_A=y\n"

    laid_out(run, package(run, fragments=fragments), look)


def test_a_source_is_compared_again_before_a_build_reads_it(run: Executor, tmp_path: Path) -> None:
    data = b"source"
    source = Source("x.tar", 6, hashlib.blake2b(data).hexdigest(), hashlib.sha512(data).hexdigest())
    stage = package(run, sources=(source,))
    place = run.local.distfiles
    place.mkdir()
    with run.working(stage) as work:
        room = stage.lay_out(work)
        (place / "x.tar").write_bytes(data)
        binds = stage.sandbox(room, work.out, work.sdk, work.local).binds
        assert [bind.source for bind in binds if bind.target.endswith("/x.tar")] == [place / "x.tar"]
        for text in (b"sourcf", b"source ", None):
            (place / "x.tar").unlink()
            if text is not None:
                (place / "x.tar").write_bytes(text)
            with pytest.raises(ColvertError) as caught:
                stage.sandbox(room, work.out, work.sdk, work.local)
            assert caught.value.code is Code.WRONG_DIGEST
            (place / "x.tar").touch()


# --- failed builds ---------------------------------------------------------------------


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A shell's script in the place of Portage; `$1` is the room, `$2` what the build leaves."""
    lines = ["exit 3"]

    def shell(stage: Package, room: Room, work: Work) -> Command:
        return command(["/bin/sh", "-c", "\n".join(lines), "sh", room.path, work.out])

    monkeypatch.setattr(Package, "command", shell)
    yield lines


def failure(run: Executor, stage: Package) -> ColvertError:
    with pytest.raises(ColvertError) as caught:
        run.obtain(stage)
    assert caught.value.code is Code.PACKAGE_FAILED
    return caught.value


def test_a_failed_build_keeps_its_log_and_its_root(run: Executor, script: list[str]) -> None:
    script[:] = ["echo some words; echo more words >&2; echo left > $1/tmp/left", "exit 3"]
    stage = package(run)
    error = failure(run, stage)
    log = log_path(run.local, stage.cpv, run.key(stage))
    assert error.where is not None and error.where.file == str(log)
    assert log.read_text() == "some words\nmore words\n"
    assert error.detail == ("some words", "more words")
    assert "status 3" in error.what
    kept = latest_failure(run.local, stage.cpv)
    assert kept == failed_path(run.local, stage.cpv, run.key(stage))
    assert (kept / "tmp/left").read_text() == "left\n"
    assert list((run.store.root / "tmp").iterdir()) == []


def test_two_builds_of_one_name_have_two_logs_and_two_roots(run: Executor, script: list[str]) -> None:
    """Two manifests may build one version with other USE flags, at one time."""
    stages = [package(run, use=use) for use in ((), ("ssl",))]
    both, errors = threading.Barrier(2), list[ColvertError]()
    script[:] = ["cat $1/config/portage/package.use; sleep 0.2; echo end", "exit 1"]

    def build(stage: Package) -> None:
        both.wait(30)
        errors.append(failure(run, stage))

    threads = [threading.Thread(target=build, args=(stage,)) for stage in stages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 2
    for stage, flags in zip(stages, ("-ssl -static", "ssl -static"), strict=True):
        text = f"=app-misc/x-1 {flags}\n"
        assert log_path(run.local, stage.cpv, run.key(stage)).read_text() == f"{text}end\n"
        kept = failed_path(run.local, stage.cpv, run.key(stage))
        assert (kept / "config/portage/package.use").read_text() == text
    assert len(list(run.local.logs.glob("*/*"))) == len(list(run.local.failed.glob("*/*"))) == 2


def test_the_same_build_that_fails_again_leaves_the_newer_root(run: Executor, script: list[str]) -> None:
    stage = package(run)
    for text in ("one", "two"):
        script[:] = [f"echo {text} | tee $1/tmp/left", "exit 1"]
        failure(run, stage)
        kept = failed_path(run.local, stage.cpv, run.key(stage))
        assert (kept / "tmp/left").read_text() == f"{text}\n"
        assert log_path(run.local, stage.cpv, run.key(stage)).read_text() == f"{text}\n"
    assert len(list(run.local.failed.glob("*/*"))) == 1


def test_the_last_failure_is_found_by_name_and_version(run: Executor) -> None:
    local = run.local
    assert latest_failure(local, "a/x-1") is None
    names = ["a/x-1", "a/x-1-r1", "a/x-1.2", "a/x-10", "a/x", "b/x-1"]
    for number, name in enumerate([*names, "a/x-1"]):
        place = failed_path(local, name, f"{number:012}" + "0" * 52)
        place.mkdir(parents=True)
        os.utime(place, (100 + number, 100 + number))
    (local.failed / "a/x-1-ffffffffffff").touch()
    (local.failed / "a/x-1-other").mkdir()
    assert latest_failure(local, "a/x-1") == local.failed / "a/x-1-000000000006"
    assert latest_failure(local, "a/x-1-r1") == local.failed / "a/x-1-r1-000000000001"
    assert latest_failure(local, "b/x-1") == local.failed / "b/x-1-000000000005"
    assert latest_failure(local, "a/y-1") is None


def test_a_build_that_succeeds_leaves_its_log_and_no_root(run: Executor, script: list[str]) -> None:
    phases: list[str] = []
    script[:] = [
        "echo '>>> Unpacking source...'; sleep 0.6",
        "echo '>>> Compiling source in /x ...'; printf '>>> Install'; sleep 0.6; echo 'ing it'",
        "mkdir $2/image; echo made > $2/image/file; mkdir $2/vdb",
    ]
    stage = package(run)
    run.events.add(lambda event: phases.append(event.phase) if event.phase else None)
    entry = run.obtain(stage)
    assert (entry.out / "image/file").read_text() == "made\n"
    assert phases == ["unpacking", "compiling", "installing"]
    assert log_path(run.local, stage.cpv, entry.record.key).exists()
    assert latest_failure(run.local, stage.cpv) is None


def test_an_interrupted_build_stops_with_all_that_it_started(run: Executor, script: list[str]) -> None:
    script[:] = ["(sleep 60; echo late) & echo $! ; sleep 60"]
    stopped = threading.Event()
    broken = replace(run, local=replace(run.local, cancelled=stopped.is_set))
    stage = package(broken)
    threading.Timer(0.5, stopped.set).start()
    started = time.monotonic()
    failure(broken, stage)
    assert time.monotonic() - started < 30
    child = int(log_path(run.local, stage.cpv, run.key(stage)).read_text())
    deadline = time.monotonic() + 10
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_sandbox_sees_the_room_and_no_network(run: Executor) -> None:
    stage = package(run)
    with run.working(stage) as work:
        room = stage.lay_out(work)
        box = stage.sandbox(room, work.out, NoSdk(), work.local)
    assert not box.network and not box.writable_root and not box.own_identity
    writable = {bind.target for bind in box.binds if bind.writable}
    assert writable == {"/build/tmp", "/build/out"}
