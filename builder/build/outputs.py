"""Outputs: what a build leaves for its user, in OUT/VERSION/, never partly.

Files are reflinks where the file system can, else hard links, else copies; a directory
appears under its name in one rename, and one that was there is gone only then.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from pathlib import Path

from builder.pipeline.events import Event, Events, Kind
from builder.pipeline.key import walk
from builder.pipeline.store import discard

FICLONE = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)


def deliver(source: Path, target: Path, events: Events) -> None:
    """Make `target` what `source` is; does nothing where it is already."""
    if not _same(source, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.parent / f".{target.name}.{uuid.uuid4().hex}"
        fresh.mkdir()
        for name, entry in walk(source):
            there = fresh / name
            if entry.is_symlink():
                there.symlink_to(Path(entry.path).readlink())
            elif entry.is_dir():
                there.mkdir()
            else:
                _give(Path(entry.path), there)
        old = target.parent / f".{target.name}.{uuid.uuid4().hex}"
        if target.exists():
            target.rename(old)
        fresh.rename(target)
        discard(old)
    for name, entry in walk(target):
        if entry.is_file(follow_symlinks=False):
            events.emit(Event(kind=Kind.OUTPUT, stage="image", label=target.name, text=str(target / name)))


def deliver_file(content: bytes, target: Path, events: Events) -> None:
    """Make `target` a file with that content; does nothing where it is already."""
    if not target.is_file() or target.read_bytes() != content:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.parent / f".{target.name}.{uuid.uuid4().hex}"
        fresh.write_bytes(content)
        fresh.replace(target)
    events.emit(Event(kind=Kind.OUTPUT, stage="image", label=target.name, text=str(target)))


def _give(source: Path, target: Path) -> None:
    with source.open("rb") as data, target.open("wb") as copy:
        try:
            fcntl.ioctl(copy.fileno(), FICLONE, data.fileno())
            shutil.copystat(source, target)  # by its time _same knows it again
            return
        except OSError:
            pass
    target.unlink()
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _same(source: Path, target: Path) -> bool:
    """Whether `target` has just what `source` has."""
    if not target.is_dir():
        return False
    wanted, found = dict(walk(source)), dict(walk(target))
    return wanted.keys() == found.keys() and all(_alike(entry, found[name]) for name, entry in wanted.items())


def _alike(entry: os.DirEntry[str], there: os.DirEntry[str]) -> bool:
    """Whether two are one file (hard link), or of one size and time: a reflink and a copy keep it.

    An older output of the same size is no reason to think so: the store may have gone back to what it
    had before, so that the newer file is the stale one.
    """
    if entry.is_symlink() or there.is_symlink():
        return entry.is_symlink() and there.is_symlink() and os.readlink(entry) == os.readlink(there)
    if entry.is_dir() or there.is_dir():
        return entry.is_dir() and there.is_dir()
    info, found = entry.stat(), there.stat()
    one = (info.st_size, info.st_mtime_ns) == (found.st_size, found.st_mtime_ns)
    return os.path.samestat(info, found) or one
