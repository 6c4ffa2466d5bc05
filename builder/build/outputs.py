"""Delivery of artifacts to OUT/VERSION, whole or not at all.

Delivered files are copies (reflinks where the file system can): what is done to them never reaches the
store. A folder appears under its name in one rename, and one that was there is gone only then. What was
delivered is remembered by sizes and times, so that an unchanged output costs a look; else its content is
compared.
"""

from __future__ import annotations

import json
import os
import stat
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from builder.errors import ColvertError
from builder.pipeline.checkout import checkout
from builder.pipeline.directories import discard, sync_file_system
from builder.pipeline.entry import Entry
from builder.pipeline.events import Event, Events, Kind
from builder.pipeline.files import sync_directory, write_atomic
from builder.pipeline.index import Item, Type, digest, survey
from builder.pipeline.key import digest_bytes, walk
from builder.pipeline.store import Store


@dataclass(frozen=True)
class Deliveries:
    """Delivers artifacts of a store; `memory` is a directory of notes that only save time."""

    store: Store
    events: Events
    memory: Path

    def folder(self, entry: Entry, target: Path, *, without: str = "", beside: Collection[str] = ()) -> None:
        """Make `target` what the entry's artifact is, but for the file `without`; files called as those
        in `beside` may lie in it too. Does nothing where it is already."""
        items = [item for item in self.store.index(entry.artifact) if item.name != without]
        ignored = {name.rpartition("/")[2] for name in beside} | {without}
        wanted = digest(items)
        if not self._is(wanted, target, ignored):
            self._replace(entry, items, target)
            self._remember(wanted, target, ignored)
        for item in items:
            if item.type is Type.FILE:
                self._report(target / item.name, target.name)

    def files(self, entry: Entry, place: Path) -> None:
        """Leave the files of the entry's artifact in `place`, beside what else is there."""
        root = self.store.path(entry.artifact)
        for item in self.store.index(entry.artifact):
            deliver_file((root / item.name).read_bytes(), place / item.name, self.events)

    def _replace(self, entry: Entry, items: list[Item], target: Path) -> None:
        source = self.store.path(entry.artifact)
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.parent / f".{target.name}.{uuid.uuid4().hex}"
        old = target.parent / f".{target.name}.{uuid.uuid4().hex}"
        try:
            checkout(source, items, fresh)
            # the note that follows must not outlive the bytes
            sync_file_system(fresh)
            if os.path.lexists(target):
                target.rename(old)
            try:
                fresh.rename(target)
            except OSError:
                if old.exists():
                    old.rename(target)
                raise
            sync_directory(target.parent)
        finally:
            discard(fresh)
            discard(old)

    def _is(self, wanted: str, target: Path, ignored: Collection[str]) -> bool:
        """Whether `target` has just what an index with the digest `wanted` says."""
        if not target.is_dir():
            return False
        if self._note(target) == [wanted, _state(target, ignored)]:
            return True
        try:
            items = survey(target)
        except (OSError, ColvertError):
            return False  # a socket, or a file that cannot be read: not what was delivered
        if digest(item for item in items if item.name not in ignored) != wanted:
            return False
        self._remember(wanted, target, ignored)
        return True

    def _note_path(self, target: Path) -> Path:
        return self.memory / f"{digest_bytes(os.fsencode(target.absolute()))}.json"

    def _note(self, target: Path) -> object:
        try:
            return json.loads(self._note_path(target).read_bytes())
        except (OSError, ValueError):
            return None

    def _remember(self, wanted: str, target: Path, ignored: Collection[str]) -> None:
        self.memory.mkdir(parents=True, exist_ok=True)
        text = json.dumps([wanted, _state(target, ignored)])
        write_atomic(self._note_path(target), text.encode())

    def _report(self, path: Path, label: str) -> None:
        self.events.emit(Event(kind=Kind.OUTPUT, stage="image", label=label, text=str(path)))


def same(store: Store, entry: Entry, target: Path) -> bool:
    """Whether the directory `target` has just what the entry's artifact has; read whole."""
    try:
        return digest(survey(target)) == digest(store.index(entry.artifact))
    except (OSError, ColvertError):
        return False  # not there, or not readable: not what was delivered


def _state(target: Path, ignored: Collection[str]) -> str:
    """Digest of what changes when a file is written to, replaced or renamed."""
    rows: list[str] = []
    for name, entry in walk(target):
        if name not in ignored:
            rows.append(f"{name} {_times(entry.stat(follow_symlinks=False))}")
    return digest_bytes("\0".join(rows).encode("utf-8", "surrogateescape"))


def _times(info: os.stat_result) -> Iterable[int]:
    # a directory's times change with files that are not ours
    if stat.S_ISDIR(info.st_mode):
        return [info.st_mode]
    return [info.st_mode, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns]


def deliver_file(content: bytes, target: Path, events: Events) -> None:
    """Make `target` a file with that content; does nothing where it is already."""
    if not target.is_file() or target.read_bytes() != content:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, content)
    events.emit(Event(kind=Kind.OUTPUT, stage="image", label=target.name, text=str(target)))
