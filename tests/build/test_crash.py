"""The log of writes: what QEMU writes down is what the guest's disk got, and a cut keeps what was flushed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.sandbox.sdk import Sdk
from builder.tools.workspace import bench
from tests.build.places import workplace
from tests.crash import FLUSH, cut, read_log

MIB = 1 << 20
KIB = 1 << 10

place = pytest.fixture(workplace)


@pytest.fixture
def logged(place: Path, sdk: Sdk) -> Iterator[tuple[Path, Path, Path]]:
    """A disk before and after eight writes, of which the first four were flushed, and their log."""
    with bench(place / "all", sdk.root, {}) as table:
        before = table.blank("before", 4 * MIB)
        after, log = table.blank("after", 4 * MIB), table.blank("log", 64 * MIB)
        drive = f"driver=blklogwrites,log.driver=file,log.filename={table.target('log')}"
        drive += f",file.driver=file,file.filename={table.target('after')}"
        commands = [f"write -P {number + 1} {number * 64}k 64k" for number in range(8)]
        commands.insert(4, "flush")
        words = [word for line in commands for word in ("-c", line)]
        table.run("qemu-io", "-t", "writeback", "--image-opts", drive, *words)
        yield before, after, log


def test_all_of_the_log_gives_the_disk(logged: tuple[Path, Path, Path]) -> None:
    before, after, log = logged
    entries = list(read_log(log))
    assert [entry.size for entry in entries if entry.is_write] == [64 * KIB] * 8
    # qemu-io flushes once more when it closes the disk
    assert sum(bool(entry.flags & FLUSH) for entry in entries) >= 2
    cut(log, entries, before, len(entries), seed=0)
    assert before.read_bytes() == after.read_bytes()


def test_a_cut_keeps_what_was_flushed_and_some_of_the_rest(logged: tuple[Path, Path, Path]) -> None:
    before, after, log = logged
    entries = list(read_log(log))
    last = [number for number, entry in enumerate(entries) if entry.is_write][-1] + 1
    seen = set()
    for seed in range(16):
        disk = before.with_name(f"cut-{seed}")
        shutil.copyfile(before, disk)
        cut(log, entries, disk, last, seed)
        data = disk.read_bytes()
        assert data[: 256 * KIB] == after.read_bytes()[: 256 * KIB]
        blocks = tuple(data[number * 64 * KIB] for number in range(4, 8))
        assert all(found in (0, number + 5) for number, found in enumerate(blocks))
        seen.add(blocks)
    assert len(seen) > 4
