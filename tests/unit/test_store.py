"""The store: whole entries only, whatever happens to those who make them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import Code, ColvertError
from builder.pipeline.events import Event, Events, Kind
from builder.pipeline.key import digest_content, digest_tree, digest_value
from builder.pipeline.stage import Executor, Stage, Work
from builder.pipeline.store import Store


def executor(root: Path, seen: list[Event] | None = None) -> Executor:
    return Executor(Store(root), Events(*([seen.append] if seen is not None else [])))


def writing(text: str) -> Stage:
    return Stage("test", text, 1, {"text": text}, lambda work: _write(work, text))


def _write(work: Work, text: str) -> None:
    (work.out / "file").write_text(text)


def test_second_time_comes_from_the_store(tmp_path: Path) -> None:
    seen: list[Event] = []
    run = executor(tmp_path, seen)
    first = run.obtain(writing("a"))
    second = run.obtain(writing("a"))
    assert first.digest == second.digest
    assert [event.kind for event in seen] == [Kind.STARTED, Kind.FINISHED, Kind.CACHED]


def test_version_and_inputs_make_the_key() -> None:
    def key(version: int, text: str) -> str:
        return Stage("test", "x", version, {"text": text}, lambda work: None).key

    assert len({key(1, "a"), key(2, "a"), key(1, "b")}) == 3


def test_a_failing_stage_leaves_nothing(tmp_path: Path) -> None:
    def fail(work: Work) -> None:
        (work.out / "half").write_text("x")
        raise ColvertError(Code.COMMAND_FAILED, "no")

    run = executor(tmp_path)
    with pytest.raises(ColvertError):
        run.obtain(Stage("test", "x", 1, {}, fail))
    assert list(run.store.entries()) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_flipped_bit_is_found_removed_and_rebuilt(tmp_path: Path) -> None:
    entry = executor(tmp_path).obtain(writing("a"))
    (entry.out / "file").write_text("b")
    run = executor(tmp_path)  # a new process remembers no verification
    found = run.store.find(entry.record.key)
    assert found is not None
    consumer = Stage("next", "x", 1, {"below": found.digest}, lambda work: None, (found,))
    with pytest.raises(ColvertError) as caught:
        run.obtain(consumer)
    assert caught.value.code is Code.STORE_CORRUPT
    assert (run.obtain(writing("a")).out / "file").read_text() == "a"


def test_torn_record_counts_as_missing(tmp_path: Path) -> None:
    run = executor(tmp_path)
    entry = run.obtain(writing("a"))
    (entry.path / "record.json").write_bytes(b'{"key": "')
    assert run.store.find(entry.record.key) is None
    assert (run.obtain(writing("a")).out / "file").read_text() == "a"


SLOW = """
import sys, time
from pathlib import Path
from builder.pipeline.events import Events
from builder.pipeline.stage import Executor, Stage
from builder.pipeline.store import Store

def run(work):
    with (work.out / "file").open("w") as stream:
        for number in range(200):
            stream.write(f"{number}\\n")
            stream.flush()
            Path(sys.argv[2]).touch()
            time.sleep(0.01)
Executor(Store(Path(sys.argv[1])), Events()).obtain(Stage("slow", "x", 1, {}, run))
"""


@pytest.mark.parametrize("moment", [0.0, 0.3, 1.0])
def test_kill_minus_nine_loses_nothing(tmp_path: Path, moment: float) -> None:
    store, started = tmp_path / "store", tmp_path / "started"
    kept = executor(store).obtain(writing("kept"))
    child = subprocess.Popen([sys.executable, "-c", SLOW, str(store), str(started)])
    deadline = time.monotonic() + 20
    while not started.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(moment)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    run = executor(store)
    assert [entry.record.label for entry in run.store.entries()] == ["kept"]
    run.store.check(kept)
    subprocess.run([sys.executable, "-c", SLOW, str(store), str(started)], check=True)
    assert {entry.record.label for entry in run.store.entries()} == {"kept", "x"}


def test_two_builds_of_the_same_make_it_once(tmp_path: Path) -> None:
    store, started = tmp_path / "store", tmp_path / "started"
    Store(store)
    words = [sys.executable, "-c", SLOW, str(store), str(started)]
    children = [subprocess.Popen(words) for _ in range(3)]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    assert len(list(Store(store).entries())) == 1


def test_prune_spares_what_a_live_build_uses(tmp_path: Path) -> None:
    mine, other = executor(tmp_path), executor(tmp_path)
    mine.obtain(writing("mine"))
    gone = other.store.prune(older_than=time.time() + 60)
    assert gone == []
    del mine
    script = "import sys; from pathlib import Path; from builder.pipeline.store import Store; import time\n"
    script += "print(len(Store(Path(sys.argv[1])).prune(older_than=time.time() + 60)))"
    words = [sys.executable, "-c", script, str(tmp_path)]
    # this process still holds its lease, so another process may not prune either
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip() == "0"


def test_prune_by_size_removes_the_longest_unused(tmp_path: Path) -> None:
    def fill(work: Work, letter: str) -> None:
        (work.out / "file").write_text(letter * 100_000)

    script = """
import sys
from pathlib import Path
from builder.pipeline.events import Events
from builder.pipeline.stage import Executor, Stage
from builder.pipeline.store import Store
run = Executor(Store(Path(sys.argv[1])), Events())
for letter in "abc":
    run.obtain(Stage("t", letter, 1, {"l": letter}, lambda w: (w.out / "f").write_bytes(bytes(100000))))
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    store = Store(tmp_path)
    ages = {"a": 3, "b": 2, "c": 1}
    for entry in store.entries():
        then = time.time() - 100 * ages[entry.record.label]
        os.utime(entry.path, (then, then))
    gone = store.prune(larger_than=250_000)
    assert [record.label for record in gone] == ["a"]


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
