"""Bill of materials of an image, independent of its format.

`spdx.py` and `cyclonedx.py` write a bill down; both say the same things of the same packages.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from builder.describe.licences import Group
from builder.pipeline.key import digest_value

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "sbom.colvert")
CHUNK = 1 << 20
Document = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """A file that a package was compiled from, as the overlay's Manifest pins it."""

    name: str
    size: int
    blake2b: str
    sha512: str
    uris: tuple[str, ...]

    @property
    def upstream(self) -> str | None:
        """The first address that is one: `mirror://` stands for a list of others."""
        return next((uri for uri in self.uris if not uri.startswith("mirror://")), None)


@dataclass(frozen=True)
class Package:
    """One package of the plan; those that are not `shipped` were only used to build."""

    cpv: str
    category: str
    name: str
    version: str
    slot: str
    overlay: str
    ebuild: str
    use: tuple[str, ...]
    description: str
    homepage: str
    licence: Group
    sources: tuple[Source, ...]
    runtime: tuple[str, ...]
    build: tuple[str, ...]
    shipped: bool

    @property
    def purl(self) -> str:
        """Its package URL, in which a version's revision and suffixes stand as Portage writes them."""
        parts = (quote(text, safe=".-_~") for text in (self.category, self.name, self.version))
        return "pkg:ebuild/{}/{}@{}".format(*parts)


@dataclass(frozen=True)
class File:
    """A regular file of the image; `owner` is a package, or the rule that made it."""

    path: str
    owner: str
    size: int
    sha1: str
    sha256: str


@dataclass(frozen=True)
class Bill:
    """An image and all that is in it. `texts` has the licences by Gentoo's names."""

    id: str
    name: str
    version: str
    epoch: int
    tool: str
    packages: tuple[Package, ...]
    files: tuple[File, ...]
    texts: Mapping[str, str]

    @property
    def created(self) -> str:
        """The clock of the build, not of the machine."""
        return datetime.fromtimestamp(self.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def owned(self) -> dict[str, list[File]]:
        """The files by the package that they are of; those that rules made under an empty name."""
        known = {package.cpv for package in self.packages}
        found: dict[str, list[File]] = {}
        for file in self.files:
            found.setdefault(file.owner if file.owner in known else "", []).append(file)
        return found


def read_files(tree: Path, owners: Mapping[str, str]) -> tuple[File, ...]:
    """Every regular file of a tree with its digests, sorted; links and directories have no content."""
    found = []
    for path, owner in sorted(owners.items()):
        place = tree / path
        if place.is_symlink() or not place.is_file():
            continue
        sha1, sha256 = hashlib.sha1(usedforsecurity=False), hashlib.sha256()
        with place.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            while block := stream.read(CHUNK):
                sha1.update(block)
                sha256.update(block)
        found.append(File(path, owner, size, sha1.hexdigest(), sha256.hexdigest()))
    return tuple(found)


def identify(document: Document) -> uuid.UUID:
    """A document id derived from its content."""
    return uuid.uuid5(NAMESPACE, digest_value(document))


def serialize(document: Document) -> bytes:
    """The document's bytes."""
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
