"""What a hostile reader found: each ended in a wrong result, lost work or a hang."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from builder.errors import Code, ColvertError
from builder.pipeline.code import CodeDigests
from builder.pipeline.directories import discard
from builder.pipeline.ingest import ingest_tree
from builder.pipeline.lock import held
from builder.pipeline.scheduler import Capacity, Job, Scheduler, Weight
from builder.pipeline.stage import Stage, Work
from builder.pipeline.store import Store
from tests.unit.stages import Files, executor


def test_code_that_was_edited_while_it_ran_leaves_no_entry(tmp_path: Path) -> None:
    """The key would be of the new text, the output of the old."""
    made = executor(tmp_path / "store")
    late = replace(made, code=CodeDigests(loaded=0.0))
    with pytest.raises(ColvertError) as caught:
        late.obtain(Files({"a": "x"}))
    assert caught.value.code is Code.CODE_CHANGED
    assert list(made.store.entries()) == []
    assert made.obtain(Files({"a": "x"}))


@dataclass(frozen=True)
class Broken(Stage):
    """Fails as a full disk does."""

    name: ClassVar[str] = "broken"
    label: ClassVar[str] = "broken"

    def run(self, work: Work) -> None:
        raise OSError(28, "No space left on device")


@dataclass(frozen=True)
class Slow(Stage):
    """Takes a while, unless it is told to stop."""

    name: ClassVar[str] = "slow"
    label: ClassVar[str] = "slow"

    def run(self, work: Work) -> None:
        for _ in range(10):
            if work.local.cancelled():
                raise ColvertError(Code.COMMAND_FAILED, "stopped")
            time.sleep(0.05)
        (work.out / "done").write_text("whole")


def test_a_full_disk_in_one_job_does_not_stop_what_others_make(tmp_path: Path) -> None:
    stopped = threading.Event()
    made = executor(tmp_path / "store")
    made = replace(made, local=replace(made.local, cancelled=stopped.is_set))
    scheduler = Scheduler(made, Capacity(4, 1 << 40), on_interrupt=stopped.set)
    weight = Weight(1, 1)
    jobs = [
        Job("slow", ("slow", ""), (), lambda _: Slow(), weight),
        Job("broken", ("broken", ""), (), lambda _: Broken(), weight),
        Job("after", ("files", ""), ("slow",), lambda _: Files({"a": "x"}), weight),
    ]
    with pytest.raises(OSError, match="No space"):
        scheduler.run(jobs)
    assert not stopped.is_set()
    assert [entry.record.stage for entry in made.store.entries()] == ["slow"]


def test_who_waits_for_another_build_can_be_interrupted(tmp_path: Path) -> None:
    store, stopped = Store(tmp_path), threading.Event()
    with held(tmp_path / "locks" / "key"):
        threading.Timer(0.3, stopped.set).start()
        with pytest.raises(ColvertError) as caught, store.building("key", stopped.is_set):
            pass
    assert caught.value.code is Code.BUSY
    with store.building("key"):
        pass
    assert not (tmp_path / "locks" / "key").exists()


@pytest.mark.parametrize("target", ["{root}/licenses/A", "../../overlay/licenses/A"])
def test_a_link_that_names_the_overlay_itself_is_refused(tmp_path: Path, target: str) -> None:
    root = tmp_path / "overlay"
    (root / "licenses").mkdir(parents=True)
    (root / "licenses/A").write_text("text")
    (root / "licenses/B").symlink_to(target.format(root=root))
    with pytest.raises(ColvertError) as caught:
        ingest_tree(Store(tmp_path / "store"), "overlay", root)
    assert caught.value.code is Code.OVERLAY_INVALID


def test_a_found_entry_keeps_its_artifact_when_its_record_goes(tmp_path: Path) -> None:
    executor(tmp_path).obtain(Files({"a": "x"}))
    made = executor(tmp_path)
    entry = made.cached(Files({"a": "x"}))
    assert entry is not None
    other = Store(tmp_path)
    other.remove(entry)
    other.prune(older_than=time.time() + 60)
    assert (made.store.path(entry.artifact) / "a").read_text() == "x"


def test_closed_directories_are_deleted_too(tmp_path: Path) -> None:
    place = tmp_path / "work"
    (place / "a/b").mkdir(parents=True)
    (place / "a/b/file").write_text("x")
    os.chmod(place / "a/b", 0)
    os.chmod(place / "a", 0o311)
    discard(place)
    assert not place.exists()
