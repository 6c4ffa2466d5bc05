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


def deliver_file(source: Path, target: Path, events: Events) -> None:
    """Make the file `target` what `source` is, in one rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.parent / f".{target.name}.{uuid.uuid4().hex}"
    _give(source, fresh)
    fresh.rename(target)
    events.emit(Event(kind=Kind.OUTPUT, stage="image", label=target.name, text=str(target)))


def _give(source: Path, target: Path) -> None:
    mode = source.stat().st_mode & 0o777
    with source.open("rb") as data, target.open("wb") as copy:
        try:
            fcntl.ioctl(copy.fileno(), FICLONE, data.fileno())
            os.fchmod(copy.fileno(), mode)
            return
        except OSError:
            pass
    target.unlink()
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _same(source: Path, target: Path) -> bool:
    """Whether every file is there, by identity (hard link) or by size and time (reflink, copy)."""
    if not target.is_dir():
        return False
    wanted = {name: entry.stat(follow_symlinks=False) for name, entry in walk(source)}
    found = {name: entry.stat(follow_symlinks=False) for name, entry in walk(target)}
    if wanted.keys() != found.keys():
        return False
    return all(
        os.path.samestat(info, found[name])
        or not (info.st_mode & 0o100000)
        or (info.st_size == found[name].st_size and found[name].st_mtime >= info.st_mtime)
        for name, info in wanted.items()
    )
