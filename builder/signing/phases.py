"""Phases of signing a release: first its boot files, then its indexes.

The indexes name the final files, so they can be signed only when those are there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from builder.arch import ARCHITECTURES, ArchitectureName
from builder.errors import Code, ColvertError, Location
from builder.pipeline.key import digest_bytes, digest_value
from builder.signing import authenticode
from builder.signing.boot_signatures import LOADER_ITEM, UKI_ITEM, USR_ROOT_HASH
from builder.signing.request import Item, Kind, Request, Signature, read_request, to_base64, to_text
from builder.updates.contents import (
    BOOT,
    FILE,
    PAYLOAD_TYPE,
    RELEASE_INDEX,
    REQUEST,
    Contents,
    KeyNames,
    Pending,
    enveloped,
    listed,
    paths,
    pending,
    uki_name,
)
from builder.updates.dsse import Envelope, pae, parse
from builder.updates.keys import DEVELOPMENT, Signer

STATE = ".signing"
RECORD = f"{STATE}/build.json"
SEEN = f"{STATE}/seen"


class Build(BaseModel):
    """Record of a build for the signing step; it stays in the output directory.

    Its paths are absolute; `place` is that directory itself, so that `path` finds them after a move.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    place: str
    manifest: str
    overrides: dict[str, str]
    state: str
    deltas_from: list[str]
    image_id: str
    architecture: ArchitectureName
    version: str
    created: int
    root_hash: str
    keys: KeyNames

    def path(self, text: str, place: Path) -> Path:
        """A path of the record: where it lies from `place` now, if there is something, else as written."""
        moved = Path(os.path.normpath(place.absolute() / os.path.relpath(text, self.place)))
        return moved if moved.exists() else Path(text)


def read_build(place: Path) -> Build:
    try:
        return Build.model_validate_json((place / RECORD).read_bytes())
    except (FileNotFoundError, ValueError) as error:
        where = Location(str(place))
        hint = "pass an output directory of build-image, such as out/1.0.0"
        raise ColvertError(Code.NOT_BUILT, "no build in this directory", where=where, hint=hint) from error


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)


def boot_request(build: Build, place: Path) -> Request | None:
    """The request for boot signatures; None if there are none."""
    items = []
    if build.keys.secure_boot != DEVELOPMENT:
        items += [_program(name, place / BOOT / file, build) for name, file in programs(build).items()]
    if build.keys.usr != DEVELOPMENT:
        items.append(
            Item(
                name=USR_ROOT_HASH,
                kind=Kind.ROOT_HASH,
                digest=build.root_hash,
                content=to_base64(build.root_hash.encode()),
                key=build.keys.usr,
                context=f"root hash of /usr of {build.image_id} {build.version}",
            )
        )
    return _request(build, items) if items else None


def programs(build: Build) -> dict[str, str]:
    """The programs that firmware checks: name of the item -> file in the boot folder."""
    return {
        UKI_ITEM: uki_name(build.image_id, build.version),
        LOADER_ITEM: ARCHITECTURES[build.architecture].loader,
    }


def _program(name: str, path: Path, build: Build) -> Item:
    data = path.read_bytes()
    return Item(
        name=name,
        kind=Kind.AUTHENTICODE,
        digest=authenticode.digest(authenticode.parse_pe(data)),
        key=build.keys.secure_boot,
        context=f"{path.name} of {build.image_id} {build.version}, {len(data)} bytes",
    )


def contents(build: Build, place: Path) -> tuple[Contents, list[tuple[Pending, bytes]]]:
    """The release index of what is there, and the payloads that still wait for envelopes."""
    waiting, envelopes = [], []
    for one in pending(build.version).values():
        unsigned, first = place / one.unsigned, place / one.files[0]
        if unsigned.is_file():
            waiting.append((one, unsigned.read_bytes()))
            envelopes += enveloped(one, waiting[-1][1])
        elif first.is_file():
            envelopes += enveloped(one, parse(first.read_bytes()).content())
    skip = frozenset(path for one in pending(build.version).values() for path in (one.unsigned, *one.files))
    found = Contents(
        image_id=build.image_id,
        architecture=build.architecture,
        version=build.version,
        created=build.created,
        root_hash=build.root_hash,
        keys=build.keys,
        files=listed(place, skip),
        envelopes=envelopes,
    )
    return found, waiting


def index_request(build: Build, place: Path) -> Request:
    """The request for index signatures, once the files are final."""
    found, waiting = contents(build, place)
    items = [
        _envelope(one.name, one.payload_type, payload, f"{one.files[0]} of", build)
        for one, payload in waiting
    ]
    total = sum(one.size for one in found.files)
    text = f"{FILE}: {len(found.files)} files, {total} bytes, of"
    items.append(_envelope(RELEASE_INDEX, PAYLOAD_TYPE, found.payload(), text, build))
    return _request(build, items)


def _envelope(name: str, payload_type: str, payload: bytes, text: str, build: Build) -> Item:
    return Item(
        name=name,
        kind=Kind.DSSE,
        digest=digest_bytes(pae(payload_type, payload)),
        content=to_base64(payload),
        payload_type=payload_type,
        key=build.keys.release,
        context=f"{text} {build.image_id} {build.version}",
    )


def _request(build: Build, items: list[Item]) -> Request:
    return Request(image_id=build.image_id, version=build.version, created=build.created, items=items)


def begin(build: Build, place: Path, own: Signer | None) -> Request | None:
    """The end of a build: sign with the checkout's key, or leave a request; returns the request."""
    seen = _seen(build, place)
    if _unchanged(place, seen):
        return read_request(place / REQUEST) if (place / REQUEST).exists() else None
    request = _begin(build, place, own)
    write(place / SEEN, seen)
    return request


def _seen(build: Build, place: Path) -> bytes:
    """What tells whether a build changed anything, without reading it all again."""
    rows = [str(build)]
    for name in paths(place):
        info = (place / name).stat(follow_symlinks=False)
        rows.append(f"{name} {info.st_ino} {info.st_size} {info.st_mtime_ns}")
    return digest_value(rows).encode()


def _unchanged(place: Path, seen: bytes) -> bool:
    known = place / SEEN
    left = (place / FILE).exists() or (place / REQUEST).exists()
    return left and known.exists() and known.read_bytes() == seen


def _begin(build: Build, place: Path, own: Signer | None) -> Request | None:
    (place / SEEN).unlink(missing_ok=True)
    write(place / RECORD, to_text(build))
    # of a build before this one; its files may be other ones
    (place / FILE).unlink(missing_ok=True)
    request = boot_request(build, place)
    if request is None:
        return go_on(build, place, own)
    write(place / REQUEST, to_text(request))
    return request


def go_on(build: Build, place: Path, own: Signer | None) -> Request | None:
    """The second signing phase; the development key signs at once."""
    request = index_request(build, place)
    if own is None:
        write(place / REQUEST, to_text(request))
        return request
    made = {
        item.name: [Signature(name=item.name, keyid=own.id, value=to_base64(own.sign(item.message)))]
        for item in request.items
    }
    write_envelopes(request, made, place)
    (place / REQUEST).unlink(missing_ok=True)
    return None


def write_envelopes(request: Request, made: dict[str, list[Signature]], place: Path) -> None:
    """Put the signed indexes in their places, the release's own last."""
    files = pending(request.version)
    for item in request.items:
        data = _signed(item, made[item.name])
        if item.name in files:
            for path in files[item.name].files:
                write(place / path, data)
            (place / files[item.name].unsigned).unlink(missing_ok=True)
    own = request.item(RELEASE_INDEX)
    assert own is not None
    write(place / FILE, _signed(own, made[own.name]))


def _signed(item: Item, signatures: Sequence[Signature]) -> bytes:
    rows = [{"keyid": one.keyid, "sig": one.value} for one in sorted(signatures, key=lambda one: one.keyid)]
    envelope = Envelope.model_validate(
        {"payloadType": item.payload_type, "payload": item.content, "signatures": rows}
    )
    return envelope.to_bytes()
