"""Power cuts: the disks that a machine could be left with, made from the log of its writes.

QEMU's blklogwrites keeps every write and flush of a guest in the order in which they were
submitted, in the form of the kernel's dm-log-writes (Documentation/admin-guide/device-mapper/
log-writes.rst). After a cut a disk holds what was flushed, and any part of what was not.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD = 1, 2, 4
SUPER = struct.Struct("<QQQI")
ENTRY = struct.Struct("<QQQQ")


@dataclass(frozen=True)
class Entry:
    """One request: a write of `size` bytes to `offset`, whose data is in the log at `data`; or a flush."""

    offset: int
    size: int
    flags: int
    data: int

    @property
    def is_write(self) -> bool:
        return self.size > 0 and not self.flags & DISCARD


def read_log(path: Path) -> Iterator[Entry]:
    """All requests in a log; one that is still being written ends at the first empty entry."""
    with path.open("rb") as log:
        magic, version, _, unit = SUPER.unpack(log.read(SUPER.size))
        if (magic, version) != (MAGIC, 1):
            raise ValueError(f"{path} is no log of writes")
        place = unit
        while True:
            log.seek(place)
            head = log.read(ENTRY.size)
            sector, sectors, flags, _ = ENTRY.unpack(head.ljust(ENTRY.size, b"\0"))
            if not sectors and not flags:
                return
            entry = Entry(sector * unit, sectors * unit, flags, place + unit)
            yield entry
            place += unit + (0 if flags & DISCARD else entry.size)


def cut(log: Path, entries: list[Entry], disk: Path, moment: int, seed: int) -> None:
    """Make `disk`, as it was when the log began, what a cut after `moment` requests could leave.

    Everything up to the last flush is there, and a random part of the later writes. They keep their
    order, which only counts where they overlap: there a disk does not go back to what it had before.
    """
    chance = random.Random(seed)
    flushes = [number for number, entry in enumerate(entries[:moment]) if entry.flags & FLUSH]
    safe = flushes[-1] if flushes else 0
    loose = [entry for entry in entries[safe:moment] if entry.flags & FUA or chance.random() < 0.5]
    with log.open("rb") as source, disk.open("r+b") as target:
        for entry in (*entries[:safe], *loose):
            if entry.is_write:
                source.seek(entry.data)
                target.seek(entry.offset)
                target.write(source.read(entry.size))
