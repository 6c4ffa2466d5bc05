"""The store: whole entries only, whatever happens to those who make them."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import Code, ColvertError
from builder.pipeline import store as store_module
from builder.pipeline.directories import sync_file_system
from builder.pipeline.entry import DATA
from builder.pipeline.events import Event, Kind
from builder.pipeline.index import to_bytes
from builder.pipeline.key import digest_bytes, digest_content, digest_tree, digest_value, walk
from builder.pipeline.store import INDEX, Store
from tests.unit.stages import Copy, Failing, Files, Text, executor

PROJECT = Path(__file__).parents[2]


def test_second_time_comes_from_the_store(tmp_path: Path) -> None:
    seen: list[Event] = []
    run = executor(tmp_path / "store", seen)
    first = run.obtain(Text("a"))
    second = run.obtain(Text("a"))
    assert first.digest == second.digest
    assert [event.kind for event in seen] == [Kind.STARTED, Kind.FINISHED, Kind.CACHED]


def test_a_record_says_what_went_in_and_what_came_out(tmp_path: Path) -> None:
    run = executor(tmp_path / "store")
    first = run.obtain(Files({"a/file": "1", "b": "2"}))
    entry = run.obtain(Copy(first.part("a")))
    record = entry.record
    assert (record.stage, record.label, record.key) == ("copy", "copy", run.key(Copy(first.part("a"))))
    assert record.uses == (first.digest,)
    assert set(record.inputs) == {"code", "sdk", "source"}
    assert first.record.parts.keys() == {"a", "b"}
    assert record.digest == digest_bytes(to_bytes(run.store.index(entry.artifact)))


def test_an_artifact_has_the_name_of_its_content_whatever_made_it(tmp_path: Path) -> None:
    run = executor(tmp_path / "store")
    one, other = run.obtain(Text("a")), run.obtain(Files({"file": "a"}))
    assert one.record.key != other.record.key
    assert one.path == other.path
    assert len(list((tmp_path / "store/objects").glob("??/*"))) == 1


def test_a_part_has_its_own_digest(tmp_path: Path) -> None:
    run = executor(tmp_path / "store")
    one = run.obtain(Files({"a/x": "1", "a/y": "1", "b": "2"}))
    other = run.obtain(Files({"a/x": "1", "a/y": "1", "b": "3"}))
    assert one.part("a").digest == other.part("a").digest
    assert one.part("b").digest != other.part("b").digest
    assert run.key(Copy(one.part("a"))) == run.key(Copy(other.part("a")))
    assert run.store.read(one.part("b")) == b"2"
    assert (run.store.path(one.part("a")) / "x").read_text() == "1"


def test_a_failing_stage_leaves_nothing(tmp_path: Path) -> None:
    run = executor(tmp_path / "store")
    with pytest.raises(ColvertError):
        run.obtain(Failing())
    assert list(run.store.entries()) == []
    assert list((tmp_path / "store/tmp").iterdir()) == []
    assert list((tmp_path / "store/objects").iterdir()) == []


def test_files_of_the_store_cannot_be_written_and_true_modes_come_back(tmp_path: Path) -> None:
    run = executor(tmp_path / "store")
    entry = run.obtain(Files({"text": "a", "tool*": "b", "folder/odd": "c"}, {"link": "text"}))
    modes = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in entry.out.rglob("*")}
    assert modes == {"text": 0o444, "tool": 0o555, "folder": 0o755, "odd": 0o444, "link": 0o777}
    assert run.store.modes(entry.artifact)["text"] == 0o644
    out = run.store.checkout(entry.artifact, tmp_path / "out")
    assert stat.S_IMODE((out / "text").stat().st_mode) == 0o644
    assert stat.S_IMODE((out / "tool").stat().st_mode) == 0o755
    assert (out / "link").readlink() == Path("text")


def test_what_is_checked_out_shares_nothing_with_the_store(tmp_path: Path) -> None:
    run = executor(tmp_path / "store")
    entry = run.obtain(Text("a"))
    out = run.store.checkout(entry.artifact, tmp_path / "out")
    assert (out / "file").stat().st_ino != (entry.out / "file").stat().st_ino
    assert (entry.out / "file").stat().st_nlink == 1
    with (out / "file").open("r+") as stream:
        stream.write("b")
    assert (entry.out / "file").read_text() == "a"


def test_odd_modes_and_names_come_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    made = tmp_path / "store/tmp/made"
    (made / "closed").mkdir(parents=True)
    (made / "closed/in\nside").write_text("x")
    (made / os.fsdecode(b"\xff\xfe")).write_text("y")
    (made / "setuid").write_text("z")
    (made / "setuid").chmod(0o4711)
    (made / "closed").chmod(0o500)
    before = digest_tree(made)
    artifact, _ = store.put("odd", made)
    assert digest_tree(store.checkout(artifact, tmp_path / "out")) == before
    Store(tmp_path / "store").check(artifact)


@pytest.mark.parametrize("kind", ["FIFO", "socket"])
def test_what_is_no_file_cannot_be_kept(tmp_path: Path, kind: str) -> None:
    store = Store(tmp_path / "store")
    made = tmp_path / "store/tmp/made"
    made.mkdir()
    mode = stat.S_IFIFO if kind == "FIFO" else stat.S_IFSOCK
    os.mknod(made / "odd", mode | 0o600)
    with pytest.raises(ColvertError) as caught:
        store.put("odd", made)
    assert caught.value.code is Code.IMAGE_INVALID
    assert "odd" in caught.value.what and kind in caught.value.what


# --- when another process is there too ---------------------------------------------


def test_publish_returns_what_another_process_recorded_first(tmp_path: Path) -> None:
    first, second = executor(tmp_path / "store"), executor(tmp_path / "store")
    record = {"stage": "x", "label": "x", "inputs": {}, "seconds": 0, "created": 0, "key": "ab" * 32}
    with first.working(Text("a")) as mine, second.working(Text("a")) as theirs:
        (mine.out / "file").write_text("mine")
        (theirs.out / "file").write_text("theirs")
        kept = second.store.publish(theirs.out, record)
        found = first.store.publish(mine.out, record)
    assert found.digest == kept.digest
    assert (first.store.path(found.artifact) / "file").read_text() == "theirs"
    again = Store(tmp_path / "store").find("ab" * 32)
    assert again is not None and again.digest == kept.digest


SLOW = """
import sys
from pathlib import Path
from tests.unit.stages import Slow, executor
executor(Path(sys.argv[1])).obtain(Slow(sys.argv[2]))
"""


def slow(store: Path, started: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SLOW, str(store), str(started)], cwd=PROJECT)


@pytest.mark.parametrize("moment", [0.0, 0.3, 1.0])
def test_kill_minus_nine_loses_nothing(tmp_path: Path, moment: float) -> None:
    store, started = tmp_path / "store", tmp_path / "started"
    kept = executor(store).obtain(Text("kept"))
    child = slow(store, started)
    deadline = time.monotonic() + 20
    while not started.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(moment)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    run = executor(store)
    assert [entry.record.label for entry in run.store.entries()] == ["kept"]
    run.store.check(kept.artifact)
    assert slow(store, started).wait(60) == 0
    assert {entry.record.label for entry in run.store.entries()} == {"kept", "slow"}


def killed_at(step: int, store: Path) -> bool:
    """Make a stage in a process that is killed at its `step`th system call that Python reports; whether it
    came so far."""
    child = os.fork()
    if not child:
        left = step

        def count(_event: str, _arguments: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            run = executor(store)
            sys.addaudithook(count)
            run.obtain(Files({"a/file": "1", "tool*": "2"}, {"link": "tool"}))
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_killed_at_any_step_the_store_has_whole_entries_only(tmp_path: Path) -> None:
    executor(tmp_path / "warm").obtain(Text("x"))
    found: set[int] = set()
    step, going = 1, True
    while going:
        place = tmp_path / str(step)
        executor(place)
        going = killed_at(step, place)
        run = executor(place)
        there = list(run.store.entries())
        for entry in there:
            run.store.check(entry.artifact)
        found.add(len(there))
        entry = run.obtain(Files({"a/file": "1", "tool*": "2"}, {"link": "tool"}))
        run.store.check(entry.artifact)
        assert list((place / "aside").iterdir()) == []
        step += 1
    assert found == {0, 1}
    assert step > 30


def test_two_builds_of_the_same_make_it_once(tmp_path: Path) -> None:
    store, started = tmp_path / "store", tmp_path / "started"
    Store(store)
    children = [slow(store, started) for _ in range(3)]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    assert len(list(Store(store).entries())) == 1


# --- when the power fails ------------------------------------------------------------


def snapshot(place: Path) -> list[tuple[str, int, int]]:
    """What a directory holds, down to the moment when each file was last changed."""
    found = [(name, entry.stat(follow_symlinks=False)) for name, entry in walk(place)]
    return [(name, info.st_size, info.st_ctime_ns) for name, info in found]


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str, object]]]:
    """What was synced and renamed, in order: (what, path, its content then)."""
    seen: list[tuple[str, str, object]] = []
    sync, rename, fsync = sync_file_system, os.rename, os.fsync

    def synced(path: Path) -> None:
        sync(path)
        seen.append(("sync", str(path), snapshot(path)))

    def renamed(source: str | Path, target: str | Path) -> None:
        info = os.stat(source)
        content = snapshot(Path(source)) if stat.S_ISDIR(info.st_mode) else (info.st_ino, info.st_size)
        rename(source, target)
        seen.append(("rename", str(target), content))

    def file_synced(descriptor: int) -> None:
        fsync(descriptor)
        info = os.fstat(descriptor)
        seen.append(("fsync", os.readlink(f"/proc/self/fd/{descriptor}"), (info.st_ino, info.st_size)))

    monkeypatch.setattr(store_module, "sync_file_system", synced)
    monkeypatch.setattr(os, "rename", renamed)
    monkeypatch.setattr(os, "fsync", file_synced)
    yield seen


def test_nothing_appears_before_its_bytes_are_on_disk(
    tmp_path: Path, order: list[tuple[str, str, object]]
) -> None:
    entry = executor(tmp_path / "store").obtain(Files({"a/file": "1", "tool*": "2"}))
    [place] = [at for at, (what, path, _) in enumerate(order) if (what, path) == ("rename", str(entry.path))]
    synced = [content for what, _, content in order[:place] if what == "sync"]
    # all of it, and nothing of it was written to since
    assert synced == [order[place][2]]
    assert {name for name, _, _ in snapshot(entry.path)} >= {DATA, INDEX, "data/a/file", "data/tool"}
    records = [
        at for at, (what, path, _) in enumerate(order) if what == "rename" and "/store/records/" in path
    ]
    [record] = records
    assert record > place
    assert [content for what, _, content in order[:record] if what == "fsync"].count(order[record][2]) == 1
    # the name itself outlives a power failure too
    folder = str(Path(order[record][1]).parent)
    assert ("fsync", folder) in [(what, path) for what, path, _ in order[record:]]


def test_nothing_is_written_into_objects_or_records_in_place(tmp_path: Path) -> None:
    """Every file there is one that was made in tmp/."""
    run = executor(tmp_path / "store")
    read, write = os.pipe()
    # a process of its own, since an audit hook stays
    child = os.fork()
    if not child:
        try:
            sys.addaudithook(lambda event, arguments: _note_new_file(write, event, arguments))
            run.obtain(Files({"a/file": "1"}))
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        made = {Path(line).parts for line in stream.read().splitlines()}
    os.waitpid(child, 0)
    root = (tmp_path / "store").parts
    assert {path[len(root)] for path in made if path[: len(root)] == root} == {"tmp", "locks", "leases"}


def _note_new_file(descriptor: int, event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT:
        os.write(descriptor, f"{arguments[0]}\n".encode())


# --- digests ---------------------------------------------------------------------------


def test_digest_of_a_sparse_file_does_not_depend_on_holes(tmp_path: Path) -> None:
    size = 20 << 20
    holes, written = tmp_path / "holes", tmp_path / "written"
    with holes.open("wb") as stream:
        stream.seek(9 << 20)
        stream.write(b"data")
        stream.truncate(size)
    written.write_bytes(b"\0" * (9 << 20) + b"data" + b"\0" * (size - (9 << 20) - 4))
    assert digest_content(holes, size) == digest_content(written, size)
    with holes.open("r+b") as stream:
        stream.seek(19 << 20)
        stream.write(b"x")
    assert digest_content(holes, size) != digest_content(written, size)


def test_digest_of_a_tree_sees_names_modes_links_and_content(tmp_path: Path) -> None:
    def make(name: str, *, text: str = "x", mode: int = 0o644, link: str = "file", file: str = "file") -> str:
        root = tmp_path / name
        root.mkdir()
        (root / file).write_text(text)
        (root / file).chmod(mode)
        (root / "link").symlink_to(link)
        return digest_tree(root)

    same = {make("a"), make("b")}
    different = {make("c", text="y"), make("d", mode=0o755), make("e", link="else"), make("f", file="other")}
    assert len(same) == 1
    assert len(same | different) == 5


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.booleans()))
def test_equal_values_have_equal_digests(value: dict[str, str | int]) -> None:
    assert digest_value(value) == digest_value(dict(reversed(value.items())))
