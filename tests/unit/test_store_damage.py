"""What happens to a store that is damaged, cannot be read, or was written by another Colvert."""

from __future__ import annotations

import errno
import json
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builder.build.session import mending
from builder.errors import Code, ColvertError
from builder.pipeline.artifact import Part
from builder.pipeline.entry import Entry, Record
from builder.pipeline.events import Event, Events
from builder.pipeline.index import from_bytes, to_bytes
from builder.pipeline.key import digest_tree
from builder.pipeline.store import FORMAT, INDEX, Store
from tests.build.places import workplace
from tests.unit.stages import Copy, Files, Text, damage, executor, remove, writable

NOBODY = 65534
place = pytest.fixture(workplace)


def refused(work: Callable[[], object], code: Code) -> ColvertError:
    with pytest.raises(ColvertError) as caught:
        work()
    assert caught.value.code is code
    assert caught.value.hint
    return caught.value


def aside(root: Path) -> list[str]:
    """The names of what was set aside, without the random part."""
    return sorted(path.name.rpartition(".")[0] for path in (root / "aside").iterdir())


# --- damage --------------------------------------------------------------------------


def test_flipped_bit_is_found_set_aside_and_rebuilt(tmp_path: Path) -> None:
    entry = executor(tmp_path).obtain(Text("a"))
    damage(entry)
    run = executor(tmp_path)  # a new process remembers no verification
    found = run.store.find(entry.record.key)
    assert found is not None
    refused(lambda: run.obtain(Copy(found.artifact)), Code.STORE_CORRUPT)
    assert aside(tmp_path) == [entry.digest]
    assert (run.obtain(Text("a")).out / "file").read_text() == "a"
    assert (run.obtain(Copy(found.artifact)).out / "copy/file").read_text() == "a"


def _add(entry: Entry) -> None:
    (entry.out / "more").touch()


def _drop(entry: Entry) -> None:
    (entry.out / "a/file").unlink()


def _to_link(entry: Entry) -> None:
    _drop(entry)
    (entry.out / "a/file").symlink_to("../b")


def _relink(entry: Entry) -> None:
    (entry.out / "link").unlink()
    (entry.out / "link").symlink_to("b")


def _to_fifo(entry: Entry) -> None:
    (entry.out / "b").unlink()
    os.mkfifo(entry.out / "b")


def _mode_in_the_index(entry: Entry) -> None:
    items = from_bytes((entry.path / INDEX).read_bytes())
    (entry.path / INDEX).write_bytes(to_bytes(items).replace(b"file 644", b"file 755", 1))


def _cut_index(entry: Entry) -> None:
    data = (entry.path / INDEX).read_bytes()
    (entry.path / INDEX).write_bytes(data[:-3])


DAMAGES: dict[str, Callable[[Entry], object]] = {
    "content": lambda entry: damage(entry, "b", "3"),
    "a file more": _add,
    "a file less": _drop,
    "a link for a file": _to_link,
    "another target": _relink,
    "a FIFO for a file": _to_fifo,
    "a mode": _mode_in_the_index,
    "a cut index": _cut_index,
    "an empty index": lambda entry: (entry.path / INDEX).write_bytes(b""),
    "no index": lambda entry: (entry.path / INDEX).unlink(),
    "no data": lambda entry: remove(entry.out),
    "nothing": lambda entry: remove(entry.path),
}
SAMPLE = Files({"a/file": "1", "b": "2"}, {"link": "a/file"})


@pytest.mark.parametrize("kind", DAMAGES)
def test_every_damage_is_found_and_mended(tmp_path: Path, kind: str) -> None:
    entry = executor(tmp_path).obtain(SAMPLE)
    sound = digest_tree(executor(tmp_path).store.checkout(entry.artifact, tmp_path / "sound"))
    DAMAGES[kind](entry)
    run = executor(tmp_path)
    refused(lambda: run.store.checkout(entry.artifact, tmp_path / "bad"), Code.STORE_CORRUPT)
    assert not (tmp_path / "bad").exists()
    again = run.obtain(SAMPLE)
    assert digest_tree(run.store.checkout(again.artifact, tmp_path / "good")) == sound


@pytest.mark.parametrize("kind", [kind for kind in DAMAGES if kind not in ("content", "a file more")])
def test_a_small_file_is_compared_by_itself(tmp_path: Path, kind: str) -> None:
    """Reading one file takes no look at the others, but never gives what its digest does not name."""
    entry = executor(tmp_path).obtain(SAMPLE)
    DAMAGES[kind](entry)
    run = executor(tmp_path)
    try:
        assert run.store.read(entry.part("b")) == b"2"
    except ColvertError as error:
        assert error.code is Code.STORE_CORRUPT
        assert run.store.read(run.obtain(SAMPLE).part("b")) == b"2"


def test_a_changed_small_file_is_found(tmp_path: Path) -> None:
    entry = executor(tmp_path).obtain(SAMPLE)
    damage(entry, "b", "3")
    run = executor(tmp_path)
    refused(lambda: run.store.read(entry.part("b")), Code.STORE_CORRUPT)
    assert run.store.read(run.obtain(SAMPLE).part("b")) == b"2"


def test_damage_behind_an_artifact_that_is_made_again_is_replaced(tmp_path: Path) -> None:
    """Two stages with the same output: the second one does not find the damaged one good enough."""
    entry = executor(tmp_path).obtain(Text("a"))
    damage(entry)
    run = executor(tmp_path)
    again = run.obtain(Files({"file": "a"}))
    assert again.digest == entry.digest
    assert (run.store.path(again.artifact) / "file").read_text() == "a"
    assert aside(tmp_path) == [entry.digest]


# --- records -------------------------------------------------------------------------


def record_of(entry: Entry) -> Path:
    [path] = entry.path.parents[2].glob(f"records/??/{entry.record.key}.json")
    return path


@pytest.mark.parametrize(
    "text", [b"", b'{"key": "', b"[]", b'{"key": 1}', b"\xff\xfe", b'{"format": 3, "name": "x"}']
)
def test_a_record_that_is_none_counts_as_missing_and_is_set_aside(tmp_path: Path, text: bytes) -> None:
    run = executor(tmp_path)
    entry = run.obtain(Text("a"))
    record_of(entry).write_bytes(text)
    assert run.store.find(entry.record.key) is None
    assert list(run.store.entries()) == []
    assert aside(tmp_path) == [f"{entry.record.key}.json"]
    [kept] = (tmp_path / "aside").iterdir()
    assert kept.read_bytes() == text
    assert entry.path.is_dir(), "the artifact has nothing to do with it"
    assert (run.obtain(Text("a")).out / "file").read_text() == "a"


def test_a_record_of_another_format_is_set_aside(tmp_path: Path) -> None:
    run = executor(tmp_path)
    entry = run.obtain(Text("a"))
    fields = entry.record.model_dump_json(exclude={"parts"})
    record_of(entry).write_text(fields)
    assert run.store.find(entry.record.key) is None
    assert aside(tmp_path) == [f"{entry.record.key}.json"]


def test_a_record_under_anothers_key_is_none(tmp_path: Path) -> None:
    run = executor(tmp_path)
    one, other = run.obtain(Text("a")), run.obtain(Text("b"))
    record_of(one).write_bytes(record_of(other).read_bytes())
    assert run.store.find(one.record.key) is None
    assert (run.obtain(Text("a")).out / "file").read_text() == "a"


def test_a_record_that_is_wrong_about_a_part_is_replaced(tmp_path: Path) -> None:
    """A consumer is keyed by what the record says: one flipped bit there is no digest of anything."""
    run = executor(tmp_path)
    entry = run.obtain(Text("a"))
    wrong = entry.record.model_copy(update={"parts": {"file": "0" * 64}})
    record_of(entry).write_text(wrong.model_dump_json())

    def consume(read: bool) -> None:
        fresh = executor(tmp_path)
        part = fresh.obtain(Text("a")).part("file")
        assert fresh.store.read(part) == b"a" if read else fresh.store.path(part).read_text() == "a"

    for read in (True, False):
        refused(lambda read=read: consume(read), Code.STORE_CORRUPT)  # type: ignore[misc]
        consume(read)
        record_of(entry).write_text(wrong.model_dump_json())


def test_a_record_whose_artifact_is_gone_counts_as_missing(tmp_path: Path) -> None:
    run = executor(tmp_path)
    entry = run.obtain(Text("a"))
    remove(entry.path)
    assert executor(tmp_path).store.find(entry.record.key) is None
    assert list(executor(tmp_path).store.entries()) == []
    assert (executor(tmp_path).obtain(Text("a")).out / "file").read_text() == "a"


# --- mending -------------------------------------------------------------------------


def test_damage_is_mended_by_doing_the_work_again(tmp_path: Path) -> None:
    entries = [executor(tmp_path).obtain(Text(text)) for text in "ab"]
    for entry in entries:
        damage(entry)
    seen: list[Event] = []
    run = executor(tmp_path)
    results: list[Entry] = []

    def work() -> None:
        results[:] = [run.obtain(Copy(run.obtain(Text(text)).artifact)) for text in "ab"]

    mending(Events(seen.append), work)
    assert [(entry.out / "copy/file").read_text() for entry in results] == ["a", "b"]
    assert len(seen) == 2
    assert all("set aside" in event.text for event in seen)


def test_what_cannot_be_mended_is_not_tried_for_ever(tmp_path: Path) -> None:
    run = executor(tmp_path)
    entry = run.obtain(Text("a"))
    part = Part(entry.artifact, "file", "0" * 64)
    seen: list[Event] = []
    refused(lambda: mending(Events(seen.append), lambda: run.store.path(part)), Code.STORE_CORRUPT)
    assert len(seen) == 1


# --- what cannot be read -------------------------------------------------------------


@contextmanager
def as_nobody() -> Iterator[None]:
    """This process without root's rights over files; somebody else's files are closed to it."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def no_descriptors(left: int) -> Iterator[None]:
    """A process that can open that many files more."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened: list[int] = []
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, limits[1]))
    try:
        while True:
            try:
                opened.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                break
        for _ in range(left):
            os.close(opened.pop())
        yield
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def everything(root: Path) -> dict[str, bytes]:
    """All files of a store but locks and leases."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for name in ("objects", "records", "aside", "tmp")
        for path in sorted((root / name).rglob("*"))
        if path.is_file()
    }


def open_to_all(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        if path.is_dir():
            path.chmod(0o777)
        elif path.parent.name in ("locks", "leases"):
            path.chmod(0o666)


def prune_all(store: Store) -> None:
    store.prune(older_than=2e9, larger_than=0)


LOOKS: dict[str, Callable[[Store, Entry], object]] = {
    "find": lambda store, entry: store.find(entry.record.key),
    "list": lambda store, _: list(store.entries()),
    "prune": lambda store, _: prune_all(store),
}


@pytest.mark.parametrize("what", ["record", "bucket", "records"])
@pytest.mark.parametrize("look", LOOKS)
def test_a_record_without_permission_is_no_damage(place: Path, look: str, what: str) -> None:
    root = place / "store"
    entries = [executor(root).obtain(Text(text)) for text in "ab"]
    before = everything(root)
    open_to_all(root)
    path = record_of(entries[0])
    closed = {"record": path, "bucket": path.parent, "records": root / "records"}[what]
    mode = closed.stat().st_mode
    closed.chmod(0)
    with as_nobody():
        store = Store(root)
        refused(lambda: LOOKS[look](store, entries[0]), Code.STORE_UNREADABLE)
    closed.chmod(mode)
    assert everything(root) == before


@pytest.mark.parametrize("what", ["objects", "bucket", "object", "index", "data", "file"])
def test_an_artifact_without_permission_is_no_damage(place: Path, what: str) -> None:
    root = place / "store"
    entry = executor(root).obtain(Text("a"))
    before = everything(root)
    open_to_all(root)
    closed = {
        "objects": root / "objects",
        "bucket": entry.path.parent,
        "object": entry.path,
        "index": entry.path / INDEX,
        "data": entry.out,
        "file": entry.out / "file",
    }[what]
    mode = closed.stat().st_mode
    closed.chmod(0)
    with as_nobody():
        refused(lambda: Store(root).check(entry.artifact), Code.STORE_UNREADABLE)
        refused(lambda: Store(root).read(entry.part("file")), Code.STORE_UNREADABLE)
    closed.chmod(mode)
    assert everything(root) == before


def test_a_process_out_of_descriptors_deletes_nothing(tmp_path: Path) -> None:
    entry = executor(tmp_path).obtain(Text("a"))
    before = everything(tmp_path)
    store = Store(tmp_path)
    store.find("0" * 64)
    with no_descriptors(1):  # for the lock of prune
        refused(lambda: store.find(entry.record.key), Code.STORE_UNREADABLE)
    with no_descriptors(0):
        refused(lambda: store.check(entry.artifact), Code.STORE_UNREADABLE)
        refused(lambda: store.index(entry.artifact), Code.STORE_UNREADABLE)
        refused(lambda: list(store.entries()), Code.STORE_UNREADABLE)
    assert everything(tmp_path) == before
    assert store.find(entry.record.key) is not None
    store.check(entry.artifact)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ENOMEM, errno.ESTALE])
@pytest.mark.parametrize("file", ["record", "index"])
def test_an_error_of_the_disk_deletes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, file: str
) -> None:
    entry = executor(tmp_path).obtain(Text("a"))
    before = everything(tmp_path)
    bad = record_of(entry) if file == "record" else entry.path / INDEX
    read = Path.read_bytes

    def failing(path: Path) -> bytes:
        if path == bad:
            raise OSError(number, os.strerror(number), str(path))
        return read(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", failing)
        run = executor(tmp_path)
        use = run.store.find if file == "record" else lambda _: run.store.check(entry.artifact)
        error = refused(lambda: use(entry.record.key), Code.STORE_UNREADABLE)
        assert os.strerror(number) in error.what
        if file == "record":
            refused(lambda: run.obtain(Text("a")), Code.STORE_UNREADABLE)
    assert everything(tmp_path) == before


# --- formats -------------------------------------------------------------------------


def test_a_new_store_says_its_format(tmp_path: Path) -> None:
    Store(tmp_path / "new/store")
    assert (tmp_path / "new/store/format").read_text() == f"{FORMAT}\n"


@pytest.mark.parametrize("text", ["1", "3", "2.1", "", "two"])
def test_a_store_of_another_format_is_left_alone(tmp_path: Path, text: str) -> None:
    executor(tmp_path).obtain(Text("a"))
    (tmp_path / "format").write_text(text)
    before = everything(tmp_path)
    error = refused(lambda: Store(tmp_path), Code.STORE_UNREADABLE)
    assert repr(text) in error.what
    assert everything(tmp_path) == before


def test_a_format_that_cannot_be_read_is_no_invitation(place: Path) -> None:
    root = place / "store"
    executor(root).obtain(Text("a"))
    open_to_all(root)
    (root / "format").chmod(0)
    before = everything(root)
    with as_nobody():
        refused(lambda: Store(root), Code.STORE_UNREADABLE)
    assert everything(root) == before


def old_store(root: Path) -> dict[str, bytes]:
    """A store as Colvert before format 2 left it: objects by key, the record beside the output."""
    for key in ("ab" * 32, "cd" * 32):
        entry = root / "objects" / key[:2] / key
        (entry / "out").mkdir(parents=True)
        (entry / "out/file").write_text("old")
        (entry / "record.json").write_text(json.dumps({"key": key}))
    for name in ("leases/123-abcdef01", "tmp/123-half/out/file", f"locks/{'ab' * 32}"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("old")
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_an_old_store_is_set_aside_whole(tmp_path: Path) -> None:
    before = old_store(tmp_path)
    run = executor(tmp_path)
    assert list(run.store.entries()) == []
    [away] = (tmp_path / "aside").iterdir()
    kept = {str(p.relative_to(away)): p.read_bytes() for p in away.rglob("*") if p.is_file()}
    assert kept == {name: data for name, data in before.items() if not name.startswith("locks/")}
    entry = run.obtain(Text("a"))
    assert run.store.find(entry.record.key) is not None
    # and once only
    assert executor(tmp_path).store.find(entry.record.key) is not None
    assert len(list((tmp_path / "aside").iterdir())) == 1


def test_what_was_set_aside_goes_when_it_is_old(tmp_path: Path) -> None:
    old_store(tmp_path)
    run = executor(tmp_path)
    record_of(run.obtain(Text("a"))).write_text("{}")
    assert list(run.store.entries()) == []
    assert len(list((tmp_path / "aside").iterdir())) == 2
    run.store.prune(older_than=1.0)
    run.store.prune(larger_than=0)
    assert len(list((tmp_path / "aside").iterdir())) == 2
    run.store.prune(older_than=2e9)
    assert list((tmp_path / "aside").iterdir()) == []


def test_a_record_keeps_what_a_newer_colvert_adds_out_of_the_way(tmp_path: Path) -> None:
    entry = executor(tmp_path).obtain(Text("a"))
    fields = {**entry.record.model_dump(mode="json"), "more": 1}
    assert Record.model_validate(fields) == entry.record


def test_writable_files_of_the_store_are_found_by_nothing_but_their_content(tmp_path: Path) -> None:
    """A copied store (cp -r) has other modes and times; its content is what counts."""
    entry = executor(tmp_path).obtain(Text("a"))
    writable(entry, "file")
    os.utime(entry.out / "file", (1, 1))
    executor(tmp_path).store.check(entry.artifact)
