"""Earlier releases from which deltas start, found and verified before anything is built."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from builder.errors import Code, ColvertError, Location, raise_all
from builder.pipeline.key import digest_file
from builder.updates.dsse import parse
from builder.updates.index import MAX_SIZE, PAYLOAD_TYPE, Index, parse_index
from builder.updates.order import newer, order_key

SIGNED = "index.json"
UNSIGNED = "index.payload.json"


@dataclass(frozen=True)
class Target:
    """The release that deltas lead to."""

    image_id: str
    architecture: str
    version: str

    def misfit(self, index: Index) -> str:
        """Why no delta can start from a release; empty when one can."""
        if (index.image_id, index.architecture) != (self.image_id, self.architecture):
            return f"{index.image_id} for {index.architecture}, not {self.image_id} for {self.architecture}"
        if not newer(self.version, index.version):
            return f"version {index.version}, which is not older than {self.version}"
        return ""


@dataclass(frozen=True)
class Earlier:
    """A release with its whole files."""

    place: Path
    index: Index

    def check(self) -> None:
        """Check that every whole file exists and matches the index."""
        for name, part in self.index.parts.items():
            file, path = part.whole, self.place / part.whole.name
            if not path.is_file():
                raise _damaged(f"the whole file of {name} is missing", path)
            if path.stat().st_size != file.size:
                raise _damaged(f"{name} has {path.stat().st_size} bytes instead of {file.size}", path)
            if digest_file(path) != file.sha256:
                raise _damaged(f"{name} does not match the SHA-256 in its file name", path)


def find_earlier(places: Iterable[Path], target: Target, count: int) -> list[Earlier]:
    """The `count` newest releases of all places that are older than the target, the newest first.

    A place that is one release has to fit; among the releases of a directory, those that fit are taken.
    """
    found: dict[str, Earlier] = {}
    errors: list[ColvertError] = []
    for place in places:
        try:
            found |= {one.index.version: one for one in _fitting(place, target)}
        except ColvertError as error:
            errors.append(error)
    raise_all(errors)
    chosen = sorted(found.values(), key=lambda one: order_key(one.index.version))[::-1][:count]
    for one in chosen:
        one.check()
    return chosen


def _fitting(place: Path, target: Target) -> list[Earlier]:
    if not place.is_dir():
        raise ColvertError(Code.USAGE, "no such directory", where=Location(str(place)))
    releases = list(_releases(place))
    if not releases:
        raise ColvertError(
            Code.NOT_BUILT,
            "no release in this directory",
            where=Location(str(place)),
            hint="pass an output directory of build-image, such as out/1.0.0, or a directory of several",
        )
    reasons = {id(one): target.misfit(one.index) for one in releases}
    foreign = all(one.index.image_id != target.image_id for one in releases)
    if any(reasons.values()) and (len(releases) == 1 or foreign):
        reason = reasons[id(releases[0])]
        raise ColvertError(
            Code.RELEASE_INVALID, f"the release is {reason}", where=Location(str(releases[0].place))
        )
    return [one for one in releases if not reasons[id(one)]]


def _releases(place: Path) -> Iterator[Earlier]:
    """Every release of a directory: it is one, its `update` is, or those directly below it are."""
    for folder in (place, place / "update"):
        if _is_release(folder):
            yield from _read(folder)
            return
    for below in sorted(path for path in place.iterdir() if path.is_dir() and path.name[0] != "."):
        for folder in (below, below / "update"):
            if _is_release(folder):
                yield from _read(folder)


def _is_release(folder: Path) -> bool:
    return (folder / SIGNED).is_file() or (folder / UNSIGNED).is_file()


def _read(folder: Path) -> Iterator[Earlier]:
    """The releases of one directory that is served: each VERSION.json, else the payload to be signed."""
    indexes = [path for path in sorted(folder.glob("*.json")) if path.name not in (SIGNED, UNSIGNED)]
    for path in indexes or [folder / name for name in (SIGNED, UNSIGNED) if (folder / name).is_file()]:
        yield Earlier(folder, read_index(path))


def read_index(path: Path) -> Index:
    """The index in a file, signed or not. Its signature is no matter here: it says from which bytes
    a delta starts, and they are held against it."""
    if path.stat().st_size > MAX_SIZE:
        raise _damaged(f"the index is larger than {MAX_SIZE} bytes", path)
    data = path.read_bytes()
    if path.name == UNSIGNED:
        return parse_index(data, path)
    try:
        envelope = parse(data)
    except ColvertError as error:
        raise error.but(where=Location(str(path))) from error
    if envelope.payload_type != PAYLOAD_TYPE:
        raise _damaged("not an update index", path)
    return parse_index(envelope.content(), path)


def _damaged(what: str, path: Path) -> ColvertError:
    return ColvertError(
        Code.RELEASE_INVALID,
        what,
        where=Location(str(path)),
        hint="build or download that release again, or remove it from --deltas-from",
    )
