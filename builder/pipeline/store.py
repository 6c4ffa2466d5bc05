"""Store: the content-addressed cache of every stage's output.

    objects/KEY[:2]/KEY/record.json   what it is, what its key was made of, its digest
    objects/KEY[:2]/KEY/out/          the output itself
    locks/, leases/, tmp/             who is building what; who is using what; not yet whole

An entry appears by one rename and is whole from then on, so a build may be killed at any
moment. It is never changed; a damaged one is found by its digest before it is used, set
aside and made again. Builds hold leases on the entries they use, so pruning is safe beside them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from builder.errors import Code, ColvertError
from builder.pipeline.key import digest_tree, walk
from builder.pipeline.lock import held

RECORD = "record.json"
OUT = "out"


class Record(BaseModel):
    """What the store knows of one entry."""

    model_config = ConfigDict(frozen=True)

    key: str
    stage: str
    label: str
    inputs: dict[str, str]
    digest: str
    size: int
    seconds: float
    created: float


@dataclass(frozen=True)
class Entry:
    """One whole output in the store."""

    path: Path
    record: Record

    @property
    def out(self) -> Path:
        return self.path / OUT

    @property
    def digest(self) -> str:
        """Digest of the output's content: what consumers are keyed by."""
        return self.record.digest


class Store:
    """The cache at `root`; one object per process, shared by its threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("objects", "locks", "leases", "tmp"):
            (root / name).mkdir(parents=True, exist_ok=True)
        self._verified: set[str] = set()
        self._mutex = threading.Lock()
        self._lease = root / "leases" / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._lease_fd: int | None = None

    # --- looking up -----------------------------------------------------------

    def find(self, key: str) -> Entry | None:
        """The entry of that key, leased to this process, or None."""
        with held(self.root / "locks" / "prune", shared=True):
            entry = self._load(self._path(key))
            if entry is not None:
                self._pin(key)
            return entry

    def entries(self) -> Iterator[Entry]:
        """Every entry, in the order of the keys."""
        for bucket in sorted((self.root / "objects").iterdir()):
            for path in sorted(bucket.iterdir()):
                entry = self._load(path)
                if entry is not None:
                    yield entry

    def check(self, entry: Entry) -> None:
        """Compare an entry with its digest, once per process; a damaged one is removed.

        Raises STORE_CORRUPT, after which the stage can simply be run again.
        """
        if entry.record.key in self._verified:
            return
        if digest_tree(entry.out) != entry.digest:
            self.remove(entry)
            raise ColvertError(
                Code.STORE_CORRUPT,
                f"the stored {entry.record.label} ({entry.record.key[:12]}) has another digest: removed",
                hint="run the same command again: it is rebuilt",
            )
        with self._mutex:
            self._verified.add(entry.record.key)

    # --- adding ---------------------------------------------------------------

    @contextmanager
    def building(self, key: str) -> Iterator[None]:
        """Hold the right to make one entry; a second build of the same waits here."""
        with held(self.root / "locks" / key):
            yield

    @contextmanager
    def workdir(self) -> Iterator[Path]:
        """A fresh directory on the store's file system, gone afterwards; never under a lease."""
        path = self.root / "tmp" / f"{os.getpid()}-{uuid.uuid4().hex}"
        path.mkdir(mode=0o755)
        try:
            yield path
        finally:
            discard(path)

    def publish(self, work: Path, record: Record) -> Entry:
        """Make `work` (holding `out/`) the entry of `record.key`, in one rename."""
        (work / RECORD).write_text(record.model_dump_json(indent=1), encoding="utf-8")
        target = self._path(record.key)
        target.parent.mkdir(exist_ok=True)
        self._pin(record.key)
        try:
            work.rename(target)
        except OSError:
            if self._load(target) is not None:  # another build, without our lock's file system, was first
                return Entry(target, record)
            discard(target)
            work.rename(target)
        with self._mutex:
            self._verified.add(record.key)
        return Entry(target, record)

    # --- removing -------------------------------------------------------------

    def remove(self, entry: Entry) -> None:
        """Take an entry away: out of sight in one rename, then deleted."""
        away = self.root / "tmp" / f"gone-{uuid.uuid4().hex}"
        try:
            entry.path.rename(away)
        except FileNotFoundError:
            return
        discard(away)

    def prune(self, *, older_than: float = 0.0, larger_than: int | None = None) -> list[Record]:
        """Remove entries that nobody uses: all whose last use is before `older_than` (epoch
        seconds), then the longest unused until at most `larger_than` bytes remain."""
        with held(self.root / "locks" / "prune"):
            leased = self._leased()
            rows = sorted(((_last_use(entry), entry) for entry in self.entries()), key=lambda row: row[0])
            total = sum(entry.record.size for _, entry in rows)
            gone: list[Record] = []
            for used, entry in rows:
                too_old = used < older_than
                too_many = larger_than is not None and total > larger_than
                if entry.record.key in leased or not (too_old or too_many):
                    continue
                self.remove(entry)
                total -= entry.record.size
                gone.append(entry.record)
            self._sweep()
            return gone

    def _sweep(self) -> None:
        """Delete what killed builds left in tmp/ and leases/."""
        for path in (self.root / "tmp").iterdir():
            owner = path.name.partition("-")[0]
            if not owner.isdigit() or not Path(f"/proc/{owner}").exists():
                discard(path)

    # --- leases ---------------------------------------------------------------

    def _pin(self, key: str) -> None:
        with self._mutex:
            if self._lease_fd is None:
                self._lease_fd = os.open(self._lease, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
                fcntl.flock(self._lease_fd, fcntl.LOCK_EX)
            os.write(self._lease_fd, f"{key}\n".encode())
        with suppress(OSError):
            os.utime(self._path(key))

    def _leased(self) -> set[str]:
        keys: set[str] = set()
        for path in (self.root / "leases").iterdir():
            with held(path, wait=False) as free:
                if free and path != self._lease:
                    path.unlink(missing_ok=True)
                else:
                    keys.update(path.read_text().split())
        return keys

    def _path(self, key: str) -> Path:
        return self.root / "objects" / key[:2] / key

    def _load(self, path: Path) -> Entry | None:
        try:
            record = Record.model_validate_json((path / RECORD).read_bytes())
        except FileNotFoundError:
            return None
        except (ValidationError, OSError):
            discard(path)
            return None
        return Entry(path, record)


def _last_use(entry: Entry) -> float:
    return entry.path.stat().st_mtime


def tree_size(root: Path) -> int:
    """Bytes that a directory takes on disk, sparse files as they are."""
    return sum(entry.stat(follow_symlinks=False).st_blocks * 512 for _, entry in walk(root))


def discard(path: Path) -> None:
    """Delete a directory, also one with directories that forbid it."""
    if not path.exists():
        return
    try:
        shutil.rmtree(path)
    except OSError:
        for directory, _, _ in os.walk(path):
            os.chmod(directory, 0o700)
        shutil.rmtree(path, ignore_errors=True)


def now() -> float:
    return round(time.time(), 3)
