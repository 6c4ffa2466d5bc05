"""Release index: every file of one version (docs/reference/release-index.md)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from builder.arch import ARCHITECTURES, Architecture
from builder.errors import Code, ColvertError
from builder.pipeline.key import canonical, digest_bytes, digest_file, walk
from builder.updates import index as update
from builder.updates.index import Bytes, Digest, Seconds, VersionText, Word
from builder.updates.parts import SIGNATURE

PAYLOAD_TYPE = "application/vnd.colvert.release-index.v1+json"
PROVENANCE_TYPE = "application/vnd.in-toto+json"
FILE = "release.json"
REQUEST = "request.json"
MAX_SIZE = 8 << 20
# names of the envelopes, in requests and policies
UPDATE_INDEX, RELEASE_INDEX, PROVENANCE = "update-index", "release-index", "provenance"
BOOT = "boot"
ROOT_HASH = "usr.roothash"
ROOT_HASH_SIGNATURE = "usr.roothash.p7s"
VERITY_SIGNATURE = "usr.verity-sig"
# what a build leaves in an envelope's place where the key is not at hand
UNSIGNED = ".payload.json"

FilePath = Annotated[str, Field(pattern=r"^[0-9A-Za-z_+][0-9A-Za-z_+.-]*(/[0-9A-Za-z_+][0-9A-Za-z_+.-]*)*$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Listed(_Model):
    """One file."""

    path: FilePath
    size: Bytes
    sha256: Digest


class Enveloped(_Model):
    """A file that is a signed envelope: its own bytes are made after this index."""

    path: FilePath
    payload_type: Word
    sha256: Digest
    """Of the payload."""


class KeyNames(_Model):
    """Which keys sign: names in the trust root; `development` is a checkout's own."""

    usr: Word
    secure_boot: Word
    release: Word


class Contents(_Model):
    """One release."""

    format: Literal[1] = 1
    image_id: Word
    architecture: Annotated[str, Field(pattern="^[0-9a-z_]+$", max_length=15)]
    version: VersionText
    created: Seconds
    root_hash: Digest
    keys: KeyNames
    files: Annotated[list[Listed], Field(max_length=10000)]
    envelopes: Annotated[list[Enveloped], Field(max_length=100)]

    @property
    def row(self) -> Architecture:
        """The release's architecture; one that is not known here is RELEASE_INVALID."""
        if self.architecture not in ARCHITECTURES:
            raise ColvertError(
                Code.RELEASE_INVALID,
                f"the architecture {self.architecture} is not known here",
                hint=f"known are {', '.join(ARCHITECTURES)}; a newer Colvert may know more",
            )
        return ARCHITECTURES[self.architecture]

    @property
    def uki(self) -> str:
        return f"{BOOT}/{uki_name(self.image_id, self.version)}"

    @property
    def loader(self) -> str:
        return f"{BOOT}/{self.row.loader}"

    @property
    def boot_parts(self) -> dict[str, str]:
        """The parts of the update that are files of the boot folder too."""
        return {"uki": self.uki, SIGNATURE: f"{BOOT}/{VERITY_SIGNATURE}"}

    def payload(self) -> bytes:
        return canonical(self.model_dump(mode="json"))

    @model_validator(mode="after")
    def _paths_differ(self) -> Contents:
        paths = [*(one.path for one in self.files), *(one.path for one in self.envelopes)]
        if len(set(paths)) != len(paths):
            raise ValueError("two files have one path")
        return self


def uki_name(image_id: str, version: str) -> str:
    """The file name of a version's UKI, without its boot counter."""
    return f"{image_id}_{version}.efi"


@dataclass(frozen=True)
class Pending:
    """A payload that an envelope goes around, and the files that the envelope becomes."""

    name: str
    unsigned: str
    files: tuple[str, ...]
    payload_type: str


def pending(version: str) -> dict[str, Pending]:
    """All envelopes that a release may have, but for its own index, by name."""
    envelopes = (
        Pending(
            UPDATE_INDEX,
            f"update/index{UNSIGNED}",
            ("update/index.json", f"update/{version}.json"),
            update.PAYLOAD_TYPE,
        ),
        Pending(PROVENANCE, f"provenance{UNSIGNED}", ("provenance.json",), PROVENANCE_TYPE),
    )
    return {one.name: one for one in envelopes}


def described(index: Contents) -> dict[str, str]:
    """What a provenance statement is about: name -> SHA-256.

    An envelope that is signed together with the statement has no bytes yet when that is made.
    """
    envelopes = {one.path: one.sha256 for one in index.envelopes}
    unsigned = {one.unsigned: envelopes[name] for one in pending(index.version).values()
                for name in one.files if name in envelopes}  # fmt: skip
    return {one.path: one.sha256 for one in index.files} | unsigned


def paths(place: Path) -> Iterator[str]:
    """The files of a release: all but what is hidden and what the signing step is made of."""
    for name, entry in walk(place):
        if any(part.startswith(".") for part in name.split("/")) or entry.is_dir(follow_symlinks=False):
            continue
        if "/" not in name and (name in (FILE, REQUEST) or _is_signatures(name)):
            continue
        yield name


def _is_signatures(name: str) -> bool:
    return name.startswith("signatures") and name.endswith(".json")


def listed(place: Path, skip: frozenset[str]) -> list[Listed]:
    """The index's rows of a release that is there."""
    names = [name for name in paths(place) if name not in skip]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        digests = list(pool.map(lambda name: digest_file(place / name), names))
    return [
        Listed(path=name, size=(place / name).stat().st_size, sha256=digest)
        for name, digest in zip(names, digests, strict=True)
    ]


def enveloped(one: Pending, payload: bytes) -> list[Enveloped]:
    digest = digest_bytes(payload)
    return [Enveloped(path=path, payload_type=one.payload_type, sha256=digest) for path in one.files]


def parse_contents(payload: bytes, where: Path) -> Contents:
    """A release index from what an envelope holds."""
    return update.parse_payload(Contents, payload, "release index", where)
