"""Places that sandboxed programs reach, other circumstances, and a disk's table."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from builder.formats.gpt import SECTOR
from builder.pipeline.directories import discard
from builder.tools.workspace import bench


def workplace(above: Path = Path("/var/tmp")) -> Iterator[Path]:
    """A directory that sandboxed programs can reach (pytest's own are closed to them); for fixtures."""
    path = Path(tempfile.mkdtemp(prefix="colvert-test-", dir=above))
    path.chmod(0o755)
    try:
        yield path
    finally:
        discard(path)


open_place = contextmanager(workplace)


@contextmanager
def elsewhere() -> Iterator[None]:
    """Another umask, and one processor instead of all."""
    processors = os.sched_getaffinity(0)
    mask = os.umask(0o077)
    os.sched_setaffinity(0, {min(processors)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, processors)
        os.umask(mask)


def read_table(disk: Path, *, sdk_root: Path) -> dict[str, Any]:
    """The partition table as sfdisk reads it."""
    with bench(disk.parent / f"{disk.name}.table", sdk_root, {"disk": disk}) as table:
        found = json.loads(table.run("sfdisk", "--json", table.source("disk")).stdout)
    return dict(found["partitiontable"])


def find_partition(disk: Path, label: str, *, sdk_root: Path) -> tuple[int, int]:
    """Start and size in bytes of the first partition with a label."""
    partitions = read_table(disk, sdk_root=sdk_root)["partitions"]
    [found, *_] = [entry for entry in partitions if entry.get("name") == label]
    return found["start"] * SECTOR, found["size"] * SECTOR
