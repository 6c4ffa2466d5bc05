"""Store of artifacts by digest, and of the records that map stage keys to them.

    format                            the layout's version; another one is left alone
    records/KEY[:2]/KEY.json          a stage that ran: its inputs and the digest of its artifact
    objects/DIGEST[:2]/DIGEST/index   every path of an artifact with its true mode and digest
    objects/DIGEST[:2]/DIGEST/data/   the artifact; its files are 0444 (programs 0555)
    aside/                            what was damaged or could not be read as this format
    locks/, leases/, tmp/             build locks; leases of running builds; incomplete entries

An object appears by one rename after its bytes were synced, its record after it; neither is changed
afterwards. Nothing handed out is the store itself: outputs and sysroots are reflinks or copies.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from builder.errors import Code, ColvertError, Location
from builder.pipeline.artifact import Artifact, Part
from builder.pipeline.checkout import checkout
from builder.pipeline.directories import discard, make_read_only, sizes, sync_file_system, tree_size
from builder.pipeline.entry import DATA, Entry, Record
from builder.pipeline.files import open_regular, sync_directory, write_atomic
from builder.pipeline.index import Item, below, digest, from_bytes, part_digests, survey, to_bytes
from builder.pipeline.key import digest_bytes
from builder.pipeline.leases import Leases
from builder.pipeline.lock import held

FORMAT = "2"
INDEX = "index"
# between two looks at a lock that another process holds
WAIT_SECONDS = 0.2


class Store:
    """The store at `root`; one object per process, shared by its threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        _check_format(root)
        for name in ("objects", "records", "aside", "locks", "leases", "tmp"):
            (root / name).mkdir(parents=True, exist_ok=True)
        self._verified: set[str] = set()
        self._indexes: dict[str, list[Item]] = {}
        self._named: dict[str, dict[str, Item]] = {}
        self._mutex = threading.Lock()
        self._leases = Leases(root / "leases")

    # --- looking up -----------------------------------------------------------

    def find(self, key: str) -> Entry | None:
        """The entry of that key, leased to this process, or None."""
        with held(self.root / "locks" / "prune", shared=True):
            entry = self._load(self._record(key))
            if entry is not None:
                self._pin(key)
                self._pin(entry.digest)
            return entry

    def entries(self) -> Iterator[Entry]:
        """Every entry, in the order of the keys."""
        for bucket in _list(self.root / "records"):
            for path in _list(bucket):
                entry = self._load(path) if path.suffix == ".json" else None
                if entry is not None:
                    yield entry

    def has(self, artifact: Artifact) -> bool:
        """Whether the artifact is here; it is leased then."""
        with held(self.root / "locks" / "prune", shared=True):
            found = _is_there(self._object(artifact.digest) / INDEX)
            if found:
                self._pin(artifact.digest)
            return found

    def path(self, what: Artifact | Part) -> Path:
        """Where an artifact or a part of one lies, compared with its digest once per process.

        Raises STORE_CORRUPT where it is damaged; it is then set aside, and the stage can run again.
        """
        artifact = what if isinstance(what, Artifact) else what.artifact
        self.check(artifact)
        if isinstance(what, Artifact):
            return self.place(artifact)
        self._check_part(what)
        return self.place(artifact) / what.name

    def index(self, what: Artifact | Part) -> list[Item]:
        """Every path of an artifact or part, with its true mode; the index is compared with its digest."""
        artifact = what if isinstance(what, Artifact) else what.artifact
        found = self._indexes.get(artifact.digest)
        if found is None:
            data = self._content(artifact, INDEX)
            if digest_bytes(data) != artifact.digest:
                raise self._damaged(artifact, "has another index")
            found = self._indexes[artifact.digest] = from_bytes(data)
        return list(below(found, what.name)) if isinstance(what, Part) else found

    def by_name(self, artifact: Artifact) -> Mapping[str, Item]:
        """The index of an artifact by the names of its paths."""
        found = self._named.get(artifact.digest)
        if found is None:
            found = self._named[artifact.digest] = {item.name: item for item in self.index(artifact)}
        return found

    def read(self, part: Part) -> bytes:
        """The content of a small file at the top of an artifact, compared with its digest by itself."""
        self._check_part(part)
        [item] = [one for one in self.index(part.artifact) if one.name == part.name]
        data = self._content(part.artifact, f"{DATA}/{part.name}")
        if digest_bytes(data) != item.value:
            raise self._damaged(part.artifact, f"has another {part.name}")
        return data

    def modes(self, what: Artifact | Part) -> Mapping[str, int]:
        """The true permission bits of every path, by its name."""
        return {item.name: item.mode for item in self.index(what)}

    def checkout(self, what: Artifact | Part, target: Path) -> Path:
        """Copy an artifact or part into the new directory `target`, with its true modes."""
        return checkout(self.path(what), self.index(what), target)

    def place(self, artifact: Artifact) -> Path:
        """Where an artifact lies, unchecked: for its index and for what checks it itself."""
        return self._object(artifact.digest) / DATA

    # --- checking -------------------------------------------------------------

    def check(self, artifact: Artifact) -> None:
        """Compare an artifact with its digest, once per process; a damaged one is set aside.

        Raises STORE_CORRUPT, after which the stage can simply be run again.
        """
        path = self._object(artifact.digest)
        if not _is_there(path / INDEX):
            raise self._corrupt(artifact, "is gone")
        if artifact.digest in self._verified:
            return
        if not self._whole(path, artifact.digest):
            raise self._damaged(artifact, "has another digest")
        with self._mutex:
            self._verified.add(artifact.digest)

    def _whole(self, path: Path, wanted: str) -> bool:
        """Whether an object is what its name says; STORE_UNREADABLE where that cannot be seen."""
        try:
            data = (path / INDEX).read_bytes()
            if digest_bytes(data) != wanted:
                return False
            items, found = from_bytes(data), survey(path / DATA)
        except (FileNotFoundError, NotADirectoryError, ValueError, ColvertError):
            return False
        except OSError as error:
            raise unreadable(path, error) from error
        return [(i.name, i.type, i.value) for i in items] == [(i.name, i.type, i.value) for i in found]

    def _check_part(self, part: Part) -> None:
        """Compare what a record says of a part with the artifact; a record that is wrong is set aside."""
        if part_digests(self.index(part.artifact)).get(part.name) == part.digest:
            return
        for entry in list(self.entries()):
            if entry.digest == part.artifact.digest:
                self._set_aside(self._record(entry.record.key))
        raise self._corrupt(part.artifact, f"has another {part.name} than its record says")

    def _content(self, artifact: Artifact, name: str) -> bytes:
        """A file of an object; STORE_CORRUPT where it is gone or none."""
        path = self._object(artifact.digest) / name
        try:
            with open_regular(path) as stream:
                return stream.readall()
        except (FileNotFoundError, NotADirectoryError, ColvertError):
            raise self._damaged(artifact, f"lacks {name}") from None
        except OSError as error:
            raise unreadable(path, error) from error

    def _damaged(self, artifact: Artifact, what: str) -> ColvertError:
        """Set an object aside; returns the error that says so."""
        self._set_aside(self._object(artifact.digest))
        return self._corrupt(artifact, f"{what}: set aside")

    def _corrupt(self, artifact: Artifact, what: str) -> ColvertError:
        return ColvertError(
            Code.STORE_CORRUPT,
            f"the stored {artifact.kind} ({artifact.digest[:12]}) {what}",
            hint="run the same command again to rebuild it",
        )

    # --- adding ---------------------------------------------------------------

    @contextmanager
    def building(self, key: str, cancelled: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Hold the right to make one entry; a second build of the same waits here until it is cancelled."""
        while not cancelled():
            with held(self.root / "locks" / key, keep=False, wait=False) as free:
                if free:
                    yield
                    return
            time.sleep(WAIT_SECONDS)
        raise ColvertError(Code.BUSY, "interrupted while another process builds the same")

    @contextmanager
    def workdir(self) -> Iterator[Path]:
        """A fresh directory on the store's file system, gone afterwards; alive as long as our lease."""
        self._leases.hold()
        path = self.root / "tmp" / f"{self._leases.own.name}-{uuid.uuid4().hex[:12]}"
        path.mkdir(mode=0o755)
        try:
            yield path
        finally:
            discard(path)

    def put(self, kind: str, out: Path) -> tuple[Artifact, list[Item]]:
        """Take a directory in: it is moved. Returns its artifact and index."""
        with self.workdir() as scratch:
            place = scratch / "object"
            place.mkdir()
            out.rename(place / DATA)
            items = survey(place / DATA)
            artifact = Artifact(kind, digest(items))
            make_read_only(place / DATA, items)
            (place / INDEX).write_bytes(to_bytes(items))
            sync_file_system(place)
            # one that prunes has not yet looked at the leases, or is done
            with held(self.root / "locks" / "prune", shared=True):
                self._pin(artifact.digest)
                self._appear(place, self._object(artifact.digest))
        with self._mutex:
            self._verified.add(artifact.digest)
            self._indexes[artifact.digest] = items
        return artifact, items

    def _appear(self, place: Path, target: Path) -> None:
        """Move an object to its place, unless a whole one is there."""
        target.parent.mkdir(exist_ok=True)
        for _ in range(2):
            try:
                place.rename(target)
                return
            except OSError:
                if not target.exists():
                    raise
            if self._whole(target, target.name):
                if sizes(target / DATA) != sizes(place / DATA):
                    raise ColvertError(
                        Code.STORE_CORRUPT,
                        "two artifacts of different sizes have one digest, so neither can be trusted",
                        where=Location(str(target)),
                        hint="find out which package holds a file made to collide, and report it",
                    )
                return
            self._set_aside(target)
        place.rename(target)

    def publish(self, out: Path, made: Mapping[str, object]) -> Entry:
        """Take in what a stage made, and record it under its key.

        `made` has the record's fields but for those that follow from the artifact. Where another build has
        recorded the same key meanwhile, its record counts.
        """
        artifact, items = self.put(str(made["stage"]), out)
        place = self._object(artifact.digest)
        record = Record.model_validate(
            {**made, "digest": artifact.digest, "parts": part_digests(items), "size": tree_size(place)}
        )
        path = self._record(record.key)
        path.parent.mkdir(exist_ok=True)
        self._pin(record.key)
        there = self._load(path)
        if there is not None:
            return there
        with self.workdir() as scratch:
            write_atomic(scratch / "record", record.model_dump_json(indent=1).encode())
            (scratch / "record").rename(path)
        sync_directory(path.parent)
        return Entry(place, record)

    def copy_to(self, entry: Entry, root: Path) -> None:
        """Put a copy of an entry into the store at `root`, which is not in use yet."""
        _check_format(root)
        record = self._record(entry.record.key)
        for path in (entry.path, record):
            (root / path.relative_to(self.root)).parent.mkdir(parents=True, exist_ok=True)
        target = root / entry.path.relative_to(self.root)
        if not target.exists():
            shutil.copytree(entry.path, target, symlinks=True)
        shutil.copyfile(record, root / record.relative_to(self.root))

    # --- removing -------------------------------------------------------------

    def remove(self, entry: Entry) -> None:
        """Take an entry away; its artifact goes with the next pruning."""
        self._record(entry.record.key).unlink(missing_ok=True)

    def prune(self, *, older_than: float = 0.0, larger_than: int | None = None) -> list[Record]:
        """Remove unused entries: all whose last use is before `older_than` (epoch
        seconds), then the longest unused until at most `larger_than` bytes remain."""
        with held(self.root / "locks" / "prune"):
            leased = self._leased()
            rows = sorted(
                ((self._last_use(entry), entry) for entry in self.entries()), key=lambda row: row[0]
            )
            total = sum(entry.record.size for _, entry in rows)
            gone: list[Record] = []
            kept: set[str] = set()
            for used, entry in rows:
                too_old = used < older_than
                too_many = larger_than is not None and total > larger_than
                if entry.record.key in leased or not (too_old or too_many):
                    kept.add(entry.digest)
                    continue
                self.remove(entry)
                total -= entry.record.size
                gone.append(entry.record)
            freed = {record.digest for record in gone}
            self._remove_objects(kept | leased, freed, older_than or time.time())
            self._sweep(older_than)
            return gone

    def _remove_objects(self, kept: set[str], freed: set[str], older_than: float) -> None:
        """Delete the objects that no record names: those `freed` now, and those (ingested inputs, what was
        left behind) that nobody has used since `older_than`."""
        for path in (self.root / "objects").glob("??/*"):
            with suppress(FileNotFoundError):  # set aside meanwhile
                if path.name not in kept and (path.name in freed or path.stat().st_mtime < older_than):
                    self._take_away(path)

    def _sweep(self, older_than: float) -> None:
        """Delete what killed builds left in tmp/ and locks/, and what was set aside before `older_than`."""
        # listed before the leases: a build that begins meanwhile has its lease first
        found = list((self.root / "tmp").iterdir())
        alive = self._leases.holders()
        for path in found:
            if path.name.partition("-")[0] not in alive:
                discard(path)
        for path in (self.root / "locks").iterdir():
            if path.name != "prune":
                with held(path, wait=False, keep=False):
                    pass  # nobody holds it, or somebody does, who will remove it
        for path in (self.root / "aside").iterdir():
            if path.stat().st_ctime < older_than:
                discard(path)

    def _take_away(self, path: Path) -> None:
        """Delete a directory, out of sight in one rename where the file system can do that."""
        away = self.root / "tmp" / f"gone-{uuid.uuid4().hex}"
        try:
            path.rename(away)
        except FileNotFoundError:
            return
        except OSError:
            # overlayfs does not rename directories of a lower layer (EXDEV)
            away = path
        discard(away)

    def _set_aside(self, path: Path) -> None:
        """Move something that cannot be used out of the way, for somebody to look at."""
        away = self.root / "aside" / f"{path.name}.{uuid.uuid4().hex[:8]}"
        try:
            path.rename(away)
        except FileNotFoundError:
            return
        except OSError:
            # overlayfs does not rename directories of a lower layer (EXDEV)
            shutil.move(path, away)

    def _pin(self, name: str) -> None:
        """Note a key or digest as used by this process, and when."""
        self._leases.add(name)
        for path in (self._record(name), self._object(name)):
            with suppress(OSError):
                os.utime(path)

    def _leased(self) -> set[str]:
        """The keys of running builds, and the digests of what these keys name."""
        names = self._leases.names()
        return names | {self._digest_of(name) for name in names}

    def _digest_of(self, key: str) -> str:
        entry = self._load(self._record(key))
        return entry.digest if entry else key

    # --- places ---------------------------------------------------------------

    def _object(self, name: str) -> Path:
        return self.root / "objects" / name[:2] / name

    def _record(self, key: str) -> Path:
        return self.root / "records" / key[:2] / f"{key}.json"

    def _last_use(self, entry: Entry) -> float:
        return self._record(entry.record.key).stat().st_mtime

    def _load(self, path: Path) -> Entry | None:
        """The entry of a record whose artifact is there; what is no record of this format is set aside."""
        try:
            record = Record.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            record = None
        except OSError as error:
            raise unreadable(path, error) from error
        if record is None or record.key != path.stem:
            self._set_aside(path)
            return None
        place = self._object(record.digest)
        return Entry(place, record) if _is_there(place / INDEX) else None


def _is_there(path: Path) -> bool:
    """Whether a file is there; STORE_UNREADABLE where that cannot be seen."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise unreadable(path, error) from error
    return True


def _list(directory: Path) -> list[Path]:
    """What is in a directory, by name; STORE_UNREADABLE where that cannot be seen."""
    try:
        return sorted(directory.iterdir())
    except NotADirectoryError:
        return []
    except OSError as error:
        raise unreadable(directory, error) from error


def unreadable(path: Path, error: OSError) -> ColvertError:
    """The error for something of the store that is there and cannot be read now."""
    return ColvertError(
        Code.STORE_UNREADABLE,
        f"the store cannot be read: {error.strerror}",
        where=Location(str(path)),
        hint="check its permissions and the disk; no entry was removed",
    )


def _check_format(root: Path) -> None:
    path = root / "format"
    try:
        found = path.read_text().strip()
    except FileNotFoundError:
        root.mkdir(parents=True, exist_ok=True)
        if (root / "objects").is_dir() and any((root / "objects").iterdir()):
            _retire(root)
        write_atomic(path, f"{FORMAT}\n".encode())
        return
    except OSError as error:
        raise unreadable(path, error) from error
    if found != FORMAT:
        raise ColvertError(
            Code.STORE_UNREADABLE,
            f"unsupported store format {found!r}: this Colvert reads {FORMAT!r}",
            where=Location(str(root)),
            hint="choose another directory with --home, or use the Colvert that wrote the store",
        )


def _retire(root: Path) -> None:
    """Set a store without a format version aside, whole: Colvert before format 2 wrote it."""
    with held(root / "locks" / "prune"):
        if not (root / "format").exists():
            away = root / "aside" / f"format-1-{uuid.uuid4().hex[:8]}"
            away.mkdir(parents=True)
            for name in ("objects", "leases", "tmp"):
                with suppress(FileNotFoundError):
                    (root / name).rename(away / name)


def now() -> float:
    return round(time.time(), 3)
