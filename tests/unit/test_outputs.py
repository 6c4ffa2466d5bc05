"""Outputs: whole or not at all, copies of what the store has, and untouched where nothing changed."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from builder.build.image import check_folders
from builder.build.outputs import Deliveries, deliver_file
from builder.build.session import mending
from builder.errors import Code, ColvertError
from builder.pipeline.entry import Entry
from builder.pipeline.events import Event, Events
from builder.pipeline.executor import Executor
from builder.sandbox import home as home_module
from builder.sandbox.doctor import examine, require_namespaces
from builder.sandbox.home import open_home, set_slots
from tests.unit.stages import Files, damage, executor


@pytest.fixture
def run(tmp_path: Path) -> Executor:
    return executor(tmp_path / "store")


def deliveries(run: Executor, *listeners: Callable[[Event], None]) -> Deliveries:
    return Deliveries(run.store, Events(*listeners), run.store.root.parent / "delivered")


def sample(text: str = "one") -> Files:
    return Files({"inner/file": text, "tool*": "x"}, {"link": "inner/file"})


def deliver(run: Executor, target: Path, text: str = "one", **options: object) -> Entry:
    entry = run.obtain(sample(text))
    deliveries(run).folder(entry, target, **options)  # type: ignore[arg-type]
    return entry


def content(target: Path) -> str:
    return (target / "inner/file").read_text()


def state(target: Path) -> dict[str, tuple[int, int]]:
    """What changes when a file is written again."""
    infos = {str(path): path.lstat() for path in (target, *target.rglob("*"))}
    return {name: (info.st_ino, info.st_ctime_ns) for name, info in infos.items()}


def test_outputs_appear_and_are_told(tmp_path: Path, run: Executor) -> None:
    seen: list[Event] = []
    target = tmp_path / "out/1/qemu"
    deliveries(run, seen.append).folder(run.obtain(sample()), target)
    assert (target / "link").read_text() == "one"
    assert [event.text for event in seen] == [str(target / "inner/file"), str(target / "tool")]


def test_outputs_have_their_true_modes(tmp_path: Path, run: Executor) -> None:
    """The user may change and delete them, though the store's files are read-only."""
    deliver(run, tmp_path / "out")
    modes = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in (tmp_path / "out").rglob("*")}
    assert modes == {"inner": 0o755, "file": 0o644, "tool": 0o755, "link": 0o777}


def test_unchanged_outputs_are_left_alone(tmp_path: Path, run: Executor) -> None:
    target = tmp_path / "out/qemu"
    deliver(run, target)
    before = state(target)
    deliver(run, target)
    assert state(target) == before
    # also where nothing is remembered of it
    for path in (tmp_path / "delivered").iterdir():
        path.unlink()
    deliver(run, target)
    assert state(target) == before


def test_what_is_remembered_may_be_anything(tmp_path: Path, run: Executor) -> None:
    """The notes only save time."""
    target = tmp_path / "out/qemu"
    deliver(run, target)
    [note] = (tmp_path / "delivered").iterdir()
    for text in (b"", b"[]", b"{", b"\xff", b'["a", "b"]'):
        note.write_bytes(text)
        deliver(run, target, "two")
        assert content(target) == "two"
        note.write_bytes(text)
        deliver(run, target)
        assert content(target) == "one"


def test_unchanged_outputs_are_not_read(
    tmp_path: Path, run: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out/qemu"
    deliver(run, target)
    monkeypatch.setattr("builder.build.outputs.survey", None)
    deliver(run, target)


def test_changed_outputs_replace_the_old_ones_whole(tmp_path: Path, run: Executor) -> None:
    target = tmp_path / "out/qemu"
    deliver(run, target)
    (target / "stray").write_text("x")
    deliver(run, target, "two")
    assert content(target) == "two"
    assert not (target / "stray").exists()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["qemu"]


def test_outputs_go_back_with_the_source(tmp_path: Path, run: Executor) -> None:
    """The same size, and newer than what the store has of the old: still the wrong one."""
    target = tmp_path / "out/qemu"
    for text in ("one", "two", "one"):
        deliver(run, target, text)
        assert content(target) == text
    before = state(target)
    deliver(run, target)
    assert state(target) == before


# --- what is delivered is a copy -----------------------------------------------------


def test_what_is_done_to_an_output_reaches_nothing_else(tmp_path: Path, run: Executor) -> None:
    """As QEMU does to a disk that it is started with: one byte, in place."""
    first, second = tmp_path / "out/a/qemu", tmp_path / "out/b/qemu"
    entry = deliver(run, first)
    with (first / "inner/file").open("r+") as stream:
        stream.write("O")
    assert content(first) == "One"
    # another process, another place
    later = executor(run.store.root)
    deliver(later, second)
    assert content(second) == "one"
    later.store.check(entry.artifact)
    # and the first place again
    deliver(later, first)
    assert content(first) == "one"


def test_an_output_shares_no_file_with_the_store(tmp_path: Path, run: Executor) -> None:
    entry = deliver(run, tmp_path / "out/qemu")
    inodes = [{path.stat().st_ino for path in root.rglob("*")} for root in (entry.path, tmp_path / "out")]
    assert not inodes[0] & inodes[1]
    assert all(path.stat().st_nlink == 1 for path in entry.path.rglob("*") if path.is_file())


def test_a_write_that_keeps_size_and_time_is_seen(tmp_path: Path, run: Executor) -> None:
    target = tmp_path / "out/qemu"
    deliver(run, target)
    info = (target / "inner/file").stat()
    with (target / "inner/file").open("r+") as stream:
        stream.write("O")
    os.utime(target / "inner/file", ns=(info.st_atime_ns, info.st_mtime_ns))
    deliver(run, target)
    assert content(target) == "one"


def put(path: Path, make: Callable[[Path], object]) -> None:
    """Make something in the place of a file."""
    path.unlink()
    make(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file more": lambda target: (target / "stray").touch(),
    "a file less": lambda target: (target / "tool").unlink(),
    "a folder more": lambda target: (target / "empty").mkdir(),
    "another mode": lambda target: (target / "tool").chmod(0o644),
    "a closed file": lambda target: (target / "tool").chmod(0),
    "a replaced file": lambda target: put(target / "tool", lambda path: path.write_text("y")),
    "another name": lambda target: (target / "tool").rename(target / "inner/tool"),
    "another link": lambda target: put(target / "link", lambda path: path.symlink_to("inner")),
    "a FIFO": lambda target: put(target / "tool", lambda path: os.mkfifo(path.with_name("pipe"))),
    "a FIFO for a file": lambda target: put(target / "tool", os.mkfifo),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_was_done_to_an_output_is_undone(tmp_path: Path, run: Executor, change: str) -> None:
    target, wanted = tmp_path / "out/qemu", tmp_path / "wanted"
    deliver(run, target)
    deliver(run, wanted)
    CHANGES[change](target)
    deliver(run, target)
    found = [
        {
            str(path.relative_to(root)): (path.lstat().st_mode, path.is_file() and path.read_bytes())
            for path in root.rglob("*")
        }
        for root in (wanted, target)
    ]
    assert found[0] == found[1]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["qemu"]


def test_a_socket_beside_an_image_is_no_reason_to_fail(
    tmp_path: Path, run: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out/qemu"
    deliver(run, target)
    monkeypatch.chdir(target)  # a socket's path has to be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("monitor")
        deliver(run, target)
    assert not (target / "monitor").exists()


def test_a_link_to_something_else_is_no_output(tmp_path: Path, run: Executor) -> None:
    target = tmp_path / "out/qemu"
    deliver(run, target)
    (target / "link").unlink()
    (target / "link").symlink_to("inner")
    deliver(run, target)
    assert (target / "link").readlink() == Path("inner/file")


# --- what lies beside it ---------------------------------------------------------------


def test_a_file_is_left_out_and_others_may_lie_beside(tmp_path: Path, run: Executor) -> None:
    """The update's payload is not delivered, and what is made of it lies in the same folder."""
    entry = run.obtain(Files({"payload": "p", "data": "d"}))
    target = tmp_path / "out/update"
    ours = deliveries(run)
    beside = ("update/index.json", "update/index.sig")
    ours.folder(entry, target, without="payload", beside=beside)
    assert [path.name for path in target.iterdir()] == ["data"]
    (target / "index.json").write_text("signed")
    before = state(target)
    for _ in range(2):
        ours.folder(entry, target, without="payload", beside=beside)
        assert state(target) == before
    (target / "index.json").write_text("signed again")
    (target / "stray").touch()
    ours.folder(entry, target, without="payload", beside=beside)
    assert [path.name for path in target.iterdir()] == ["data"]


def test_files_are_delivered_beside_what_is_there(tmp_path: Path, run: Executor) -> None:
    entry = run.obtain(Files({"inventory.json": "{}"}))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/other").touch()
    deliveries(run).files(entry, tmp_path / "out")
    assert (tmp_path / "out/inventory.json").read_text() == "{}"
    assert stat.S_IMODE((tmp_path / "out/inventory.json").stat().st_mode) == 0o644
    assert (tmp_path / "out/other").exists()


# --- when something goes wrong ---------------------------------------------------------


def test_a_failing_delivery_leaves_the_old_outputs(
    tmp_path: Path, run: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out/qemu"
    deliver(run, target)

    def full(source: int, there: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("builder.pipeline.inside.copy_data", full)
    with pytest.raises(OSError, match="No space"):
        deliver(run, target, "two")
    assert content(target) == "one"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["qemu"]


def test_a_rename_that_fails_leaves_the_old_outputs(
    tmp_path: Path, run: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old folder has gone out of the way by then."""
    target = tmp_path / "out/qemu"
    deliver(run, target)
    rename, failed = os.rename, list[Path]()

    def failing(source: Path, there: Path) -> None:
        if there == target and not failed:
            failed.append(there)
            raise OSError(5, "Input/output error")
        rename(source, there)

    monkeypatch.setattr("builder.build.outputs.os.rename", failing)
    with pytest.raises(OSError, match="Input/output"):
        deliver(run, target, "two")
    assert failed
    assert content(target) == "one"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["qemu"]


def test_a_damaged_artifact_is_never_delivered(tmp_path: Path, run: Executor) -> None:
    """A file of the store that somebody made writable and changed: found, set aside, made again."""
    entry = run.obtain(sample())
    damage(entry, "inner/file", "bad")
    later, target = executor(run.store.root), tmp_path / "out/qemu"
    with pytest.raises(ColvertError) as caught:
        deliver(later, target)
    assert caught.value.code is Code.STORE_CORRUPT
    assert not target.exists()
    assert len(list((run.store.root / "aside").iterdir())) == 1
    assert later.store.find(entry.record.key) is None


def test_a_damaged_artifact_is_made_again_and_delivered(tmp_path: Path, run: Executor) -> None:
    entry = run.obtain(sample())
    damage(entry, "inner/file", "bad")
    seen: list[Event] = []
    later, target = executor(run.store.root), tmp_path / "out/qemu"
    mending(Events(seen.append), lambda: deliver(later, target))
    assert content(target) == "one"
    assert len(seen) == 1


def test_a_damaged_small_file_is_never_delivered(tmp_path: Path, run: Executor) -> None:
    entry = run.obtain(Files({"inventory.json": "{}"}))
    damage(entry, "inventory.json", "[]")
    with pytest.raises(ColvertError) as caught:
        deliveries(executor(run.store.root)).files(entry, tmp_path / "out")
    assert caught.value.code is Code.STORE_CORRUPT
    assert not (tmp_path / "out").exists()


def test_damage_is_mended_and_other_errors_are_not() -> None:
    errors = [ColvertError(Code.STORE_CORRUPT, "a"), ColvertError(Code.STORE_CORRUPT, "b")]
    seen: list[Event] = []

    def work() -> None:
        if errors:
            raise errors.pop()

    mending(Events(seen.append), work)
    assert len(seen) == 2
    with pytest.raises(ColvertError):
        mending(Events(), lambda: (_ for _ in ()).throw(ColvertError(Code.TOO_LARGE, "x")).__next__())


def test_a_home_out_of_reach_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_module, "sandbox_id", lambda: 12345)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ColvertError) as caught:
        open_home(closed / "home")
    assert "chmod o+x" in caught.value.hint


def test_slots_follow_the_number_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_module, "sandbox_id", lambda: None)
    home = open_home(tmp_path / "home")
    for count in (5, 2):
        set_slots(home, count)
        assert len(list(home.slots.iterdir())) == count


def test_without_user_namespaces_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # a real program in the place of bwrap that fails as bwrap does where namespaces are forbidden
    (tmp_path / "bwrap").write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n"
    )
    (tmp_path / "bwrap").chmod(0o755)
    tmp_path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("builder.sandbox.doctor.sandbox_id", lambda: None)
    with pytest.raises(ColvertError) as caught:
        require_namespaces()
    assert caught.value.code is Code.NO_USERNS
    assert "namespace" in caught.value.what
    assert caught.value.hint


def test_the_doctor_names_the_package_of_a_missing_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    findings = {finding.subject: finding for finding in examine(tmp_path / "home")}
    assert not findings["bwrap"].ok
    assert findings["bwrap"].remedy == "apt-get install bubblewrap"
    assert findings["mmdebstrap"].remedy == "apt-get install mmdebstrap"


def test_a_file_replaces_the_old_one_and_is_told(tmp_path: Path) -> None:
    seen: list[Event] = []
    target = tmp_path / "out/1/list"
    for text in ("one", "two"):
        deliver_file(text.encode(), target, Events(seen.append))
        assert target.read_text() == text
    assert [event.text for event in seen] == [str(target)] * 2
    assert [path.name for path in target.parent.iterdir()] == ["list"]


@pytest.mark.parametrize(
    ("there", "boot", "refused"),
    [
        ("gce", "another", True),
        ("gce", "one", False),
        ("qemu", "another", False),
        ("notes", "another", False),
    ],
)
def test_a_platform_of_an_earlier_build_is_not_signed_with_this_one(
    tmp_path: Path, run: Executor, there: str, boot: str, refused: bool
) -> None:
    """A fixed version, built for another platform before something changed."""
    place = tmp_path / "out/1"
    deliver(run, place / there)
    deliver(run, place / "boot", boot)
    entry = run.obtain(sample())
    with pytest.raises(ColvertError) if refused else nullcontext() as caught:
        check_folders(run.store, entry, ["qemu"], place)
    if caught is not None:
        assert caught.value.code is Code.USAGE
        assert caught.value.hint.endswith("--target qemu --target gce")
