"""What prune removes and spares, and what builds leave in locks/, leases/ and tmp/."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from builder.errors import ColvertError
from builder.pipeline.artifact import Artifact
from builder.pipeline.ingest import ingest_texts
from builder.pipeline.lock import held
from builder.pipeline.store import Store
from tests.unit.stages import Copy, Failing, Files, Text, executor

PROJECT = Path(__file__).parents[2]
LATER = 2e9
PRUNE = """
import sys
from pathlib import Path
from builder.pipeline.store import Store
print(len(Store(Path(sys.argv[1])).prune(older_than=2e9)))
"""
FILL = """
import sys
from pathlib import Path
from tests.unit.stages import Text, executor
run = executor(Path(sys.argv[1]))
for letter in sys.argv[2]:
    run.obtain(Text(letter * 100_000))
"""
DIE = """
import os, signal, sys
from pathlib import Path
from tests.unit.stages import Text, executor
run = executor(Path(sys.argv[1]))
with run.store.building("a" * 64), run.store.workdir() as place:
    (place / "half").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def python(script: str, *words: str | Path, before: tuple[str, ...] = ()) -> str:
    """What a process of its own prints; its leases are gone with it."""
    line = [*before, sys.executable, "-c", script, *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, check=True, cwd=PROJECT).stdout.strip()


def names(root: Path, folder: str) -> list[str]:
    return sorted(path.name for path in (root / folder).iterdir())


def objects(root: Path) -> set[str]:
    return {path.name for path in (root / "objects").glob("??/*")}


def age(store: Store, label: str, seconds: float) -> None:
    """As if an entry had been used last so many seconds ago, its artifact included."""
    then = time.time() - seconds
    for entry in store.entries():
        if entry.record.label.startswith(label):
            for path in (store._record(entry.record.key), entry.path):
                os.utime(path, (then, then))


# --- what is removed -----------------------------------------------------------------


def test_prune_spares_what_a_live_build_uses(tmp_path: Path) -> None:
    mine, other = executor(tmp_path), executor(tmp_path)
    entry = mine.obtain(Text("mine"))
    assert other.store.prune(older_than=LATER) == []
    del mine
    # this process still holds its lease, so another process may not prune either
    assert python(PRUNE, tmp_path) == "0"
    Store(tmp_path).check(entry.artifact)


def test_prune_spares_what_a_live_build_took_in_or_asked_for(tmp_path: Path) -> None:
    python(FILL, tmp_path, "ab")
    run = executor(tmp_path)
    texts = ingest_texts(run.store, "texts", {"x": b"1"})
    found = run.store.find(run.key(Text("a" * 100_000)))
    [other] = [entry for entry in run.store.entries() if entry.record.label.startswith("b")]
    assert found is not None and run.store.has(other.artifact)
    assert python(PRUNE, tmp_path) == "1"
    # the record of b is gone; its artifact was asked for
    for artifact in (texts, found.artifact, other.artifact):
        Store(tmp_path).check(artifact)


def test_prune_by_age_removes_records_and_artifacts(tmp_path: Path) -> None:
    python(FILL, tmp_path, "ab")
    store = Store(tmp_path)
    age(store, "a", 100)
    gone = store.prune(older_than=time.time() - 50)
    assert [record.label for record in gone] == ["a" * 20]
    [left] = store.entries()
    assert objects(tmp_path) == {left.digest}
    assert store.prune(older_than=LATER) == [left.record]
    assert objects(tmp_path) == set()


def test_prune_by_size_removes_the_longest_unused(tmp_path: Path) -> None:
    python(FILL, tmp_path, "abc")
    store = Store(tmp_path)
    for number, letter in enumerate("cba"):
        age(store, letter, 100 * (number + 1))
    gone = store.prune(larger_than=250_000)
    assert [record.label for record in gone] == ["a" * 20]
    assert objects(tmp_path) == {entry.digest for entry in store.entries()}


def test_prune_by_size_frees_what_was_used_lately_too(tmp_path: Path) -> None:
    """Age and size together: an artifact goes with its record, however young it is."""
    python(FILL, tmp_path, "abc")
    store = Store(tmp_path)
    age(store, "a", 10)
    gone = store.prune(older_than=time.time() - 1000, larger_than=250_000)
    assert [record.label for record in gone] == ["a" * 20]
    assert objects(tmp_path) == {entry.digest for entry in store.entries()}


def test_an_artifact_of_two_records_stays_for_the_one_that_is_left(tmp_path: Path) -> None:
    python(FILL, tmp_path, "a")
    script = FILL.replace("Text(letter * 100_000)", "Files({'file': letter * 100_000})").replace(
        "import Text", "import Files"
    )
    python(script, tmp_path, "a")
    store = Store(tmp_path)
    one, other = store.entries()
    assert one.path == other.path
    then = time.time() - 100
    os.utime(store._record(one.record.key), (then, then))
    assert store.prune(older_than=time.time() - 50) == [one.record]
    store.check(other.artifact)
    assert [entry.record for entry in store.entries()] == [other.record]


def test_what_was_taken_in_stays_while_it_is_used(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from builder.pipeline.ingest import ingest_texts
from builder.pipeline.store import Store
print(ingest_texts(Store(Path(sys.argv[1])), "texts", {"x": b"1"}).digest)
"""
    digest = python(script, tmp_path)
    store = Store(tmp_path)
    store.prune(older_than=time.time() - 50)
    assert objects(tmp_path) == {digest}
    then = time.time() - 100
    [path] = (tmp_path / "objects").glob("??/*")
    os.utime(path, (then, then))
    assert python(script, tmp_path) == digest  # used again
    store.prune(older_than=time.time() - 50)
    assert objects(tmp_path) == {digest}
    store.prune(older_than=LATER)
    assert objects(tmp_path) == set()


# --- beside builds that run -----------------------------------------------------------


def test_what_is_stored_while_another_prunes_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pruning process has read the leases already, and has not looked at the objects yet."""
    mine, other = executor(tmp_path), executor(tmp_path)
    made: list[threading.Thread] = []
    stored: list[Artifact] = []
    remove = Store._remove_objects

    def meanwhile(store: Store, *arguments: object) -> None:
        thread = threading.Thread(target=lambda: stored.append(mine.store.put("text", work.out)[0]))
        thread.start()
        thread.join(1)
        made.append(thread)
        remove(store, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "_remove_objects", meanwhile)
    with mine.working(Text("a")) as work:
        (work.out / "file").write_text("a")
        other.store.prune(older_than=LATER)
        made[0].join(30)
    Store(tmp_path).check(stored[0])


def test_a_build_that_begins_while_another_prunes_keeps_its_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = Store(tmp_path), Store(tmp_path)
    scratch = store.workdir()
    places: list[Path] = []
    iterdir = Path.iterdir

    def beginning(path: Path) -> object:
        if path == tmp_path / "tmp" and not places:
            places.append(scratch.__enter__())
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", beginning)
    other.prune(older_than=LATER)
    [place] = places
    assert place.is_dir()
    scratch.__exit__(None, None, None)
    assert not place.exists()


def namespaced() -> tuple[str, ...]:
    """A command line's beginning that gives a process ids of its own."""
    words = ("bwrap", "--dev-bind", "/", "/", "--unshare-pid", "--proc", "/proc")
    if shutil.which("bwrap") is None or subprocess.run([*words, "true"], check=False).returncode:
        pytest.skip("bwrap cannot make a PID namespace here")
    return words


def test_prune_in_another_pid_namespace_spares_what_runs_here(tmp_path: Path) -> None:
    """Two containers on one store: neither sees the other's process ids."""
    run = executor(tmp_path)
    entry = run.obtain(Text("mine"))
    with run.working(Text("b")) as work:
        (work.out / "half").write_text("x")
        assert python(PRUNE, tmp_path, before=namespaced()) == "0"
        assert (work.out / "half").read_text() == "x"
    run.store.check(entry.artifact)
    assert run.obtain(Copy(entry.artifact)).record.stage == "copy"


def test_prune_here_spares_what_runs_in_another_pid_namespace(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from tests.unit.stages import Text, executor
run = executor(Path(sys.argv[1]))
run.obtain(Text("mine"))
with run.working(Text("b")) as work:
    print("ready", flush=True)
    sys.stdin.read()
    (work.out / "file").write_text("whole")
"""
    line = [*namespaced(), sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT) as child:
        assert child.stdout is not None and child.stdin is not None
        assert child.stdout.readline() == b"ready\n"
        assert Store(tmp_path).prune(older_than=LATER) == []
        child.stdin.close()
        assert child.wait(60) == 0


# --- what is left behind ---------------------------------------------------------------


def test_locks_do_not_grow(tmp_path: Path) -> None:
    run = executor(tmp_path)
    for text in "abc":
        run.obtain(Text(text))
    with pytest.raises(ColvertError):
        run.obtain(Failing())
    assert names(tmp_path, "locks") == ["prune"]
    assert names(tmp_path, "tmp") == []
    assert len(names(tmp_path, "leases")) == 1


def test_what_killed_builds_left_goes_with_the_next_pruning(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(subprocess.CalledProcessError) as caught:
            python(DIE, tmp_path)
        assert caught.value.returncode == -signal.SIGKILL
    assert len(names(tmp_path, "tmp")) == 2
    assert names(tmp_path, "locks") == ["a" * 64]
    run = executor(tmp_path)
    with run.working(Text("b")) as work, run.store.building("b" * 64):
        Store(tmp_path).prune()
        assert names(tmp_path, "tmp") == [work.scratch.name]
        assert names(tmp_path, "locks") == ["b" * 64, "prune"]
        assert len(names(tmp_path, "leases")) == 1
    assert names(tmp_path, "locks") == ["prune"]


def test_a_lock_that_was_removed_by_its_holder_is_taken_anew(tmp_path: Path) -> None:
    """Whoever waited for it must not hold a file that nobody else can find."""
    path, inside, most = tmp_path / "lock", 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(50):
            with held(path, keep=False):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert not path.exists()


def test_a_lock_held_elsewhere_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held(path), held(path, wait=False, keep=False) as free:
        assert not free
    with held(path, shared=True), held(path, shared=True, wait=False) as free:
        assert free
    with pytest.raises(ColvertError), held(path, keep=False):
        executor(tmp_path / "store").obtain(Failing())
    assert not path.exists()


def test_an_artifact_of_many_files_is_pruned_whole(tmp_path: Path) -> None:
    run = executor(tmp_path)
    run.obtain(Files({f"{number}/file": str(number) for number in range(20)}))
    script = PRUNE.replace("len(", "len([*").replace("older_than=2e9)))", "older_than=2e9)]))")
    os.close(run.store._leases.hold())  # as if this process had ended
    assert python(script, tmp_path) == "1"
    assert objects(tmp_path) == set()
    assert names(tmp_path, "tmp") == []
