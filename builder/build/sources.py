"""Exported sources (`colvert sources export`), verified, as the only place to build from.

    export.json     the format, and every other path with its mode and digest
    manifest.yaml   the whole manifest, with what it includes and names
    colvert.lock    what was taken from elsewhere
    overlays/ files/ distfiles/ wheels/     what these name
    sdk/            the SDK's record, and its root as a tar
    project/        the Colvert that made it

`builder/rebuild/export.py` writes it. A build from it looks nowhere else.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from builder.errors import Code, ColvertError, Location, raise_all
from builder.pipeline.directories import discard
from builder.pipeline.key import digest_file, walk
from builder.pipeline.lock import held
from builder.pipeline.reading import kind_of, read_regular
from builder.pipeline.validation import first_mistake
from builder.sandbox.debian import unpack_root
from builder.sandbox.home import Home
from builder.sandbox.sdk import find_sdk, recipe_digest

INDEX = "export.json"
FORMAT: Literal["colvert-sources/1"] = "colvert-sources/1"
TELL = 20
# a hundred bytes for each file of it
MAX_INDEX = 256 << 20


class Item(BaseModel):
    """A path of an export: a directory, a file with its digest, or a link with its target."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: int | None = None
    size: int | None = None
    sha256: str | None = None
    link: str | None = None


class Index(BaseModel):
    """Content of export.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["colvert-sources/1"] = FORMAT
    version: str
    epoch: int
    # whose copy the manifest is; a release may say so
    commit: str
    dirty: bool
    text_digest: str
    sdk: str
    recipe: str
    items: dict[str, Item]

    def text(self) -> str:
        """The file: equal exports are equal texts."""
        whole = self.model_dump(mode="json", exclude_none=True)
        return json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Sources:
    """A source export, verified against its index."""

    root: Path
    index: Index

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.yaml"

    @property
    def lock(self) -> Path:
        return self.root / "colvert.lock"

    @property
    def distfiles(self) -> Path:
        return self.root / "distfiles"

    def install_sdk(self, home: Home) -> None:
        """Make the export's SDK the home's, unless it is; another one is not replaced."""
        if self.index.recipe != recipe_digest():
            raise ColvertError(
                Code.SOURCES_INVALID,
                "the export was written by a Colvert with another SDK",
                where=Location(str(self.root)),
                hint=f"use the Colvert inside the export: {self.root}/project",
            )
        with held(home.sdk / "lock"):
            found = find_sdk(home)
            if found is None:
                _unpack(self.root / "sdk", home)
            elif found.id != self.index.sdk:
                raise ColvertError(
                    Code.SOURCES_INVALID,
                    f"the SDK in {home.root} has other Debian packages than the export",
                    where=Location(str(self.root)),
                    hint="use a new home directory: --home DIR",
                )


def _unpack(source: Path, home: Home) -> None:
    work = home.sdk / f"tmp-{uuid.uuid4().hex}"
    work.mkdir(parents=True)
    try:
        # the id that unpacks may not reach the export
        archive = work / "root.tar"
        shutil.copyfile(source / "root.tar", archive)
        archive.chmod(0o644)
        unpack_root(archive, work / "root")
        shutil.copyfile(source / "sdk.json", work / "sdk.json")
        final = home.sdk / recipe_digest()[:16]
        discard(final)
        work.rename(final)
    finally:
        discard(work)


def survey(root: Path) -> dict[str, Item]:
    """Everything below `root` but the index, as an index has it."""
    return {name: _item(entry) for name, entry in walk(root) if name != INDEX}


def _item(entry: os.DirEntry[str]) -> Item:
    info = entry.stat(follow_symlinks=False)
    if stat.S_ISLNK(info.st_mode):
        return Item(link=os.readlink(entry.path))
    mode = stat.S_IMODE(info.st_mode)
    if stat.S_ISDIR(info.st_mode):
        return Item(mode=mode)
    if kind := kind_of(info.st_mode):
        where = Location(entry.path)
        raise ColvertError(Code.SOURCES_INVALID, f"{kind}, not a regular file", where=where, hint="remove it")
    return Item(mode=mode, size=info.st_size, sha256=digest_file(Path(entry.path)))


def open_sources(root: Path) -> Sources:
    """The export in `root`; SOURCES_INVALID reports all differences from its index."""
    root = root.absolute()
    index = _read_index(root)
    here = survey(root)
    problems = [
        what
        for name in sorted({*here, *index.items})
        if (what := _problem(name, index.items.get(name), here.get(name)))
    ]
    where = Location(str(root))
    errors = [ColvertError(Code.SOURCES_INVALID, what, where=where) for what in problems[:TELL]]
    if len(problems) > TELL:
        more = f"and {len(problems) - TELL} more"
        errors.append(ColvertError(Code.SOURCES_INVALID, more, where=where))
    if errors:
        errors[-1] = errors[-1].but(hint="unpack it again with file modes (tar -xpf), or export it again")
    raise_all(errors)
    return Sources(root, index)


def _read_index(root: Path) -> Index:
    path = root / INDEX
    where = Location(str(path))
    try:
        data = json.loads(read_regular(path, MAX_INDEX, Code.SOURCES_INVALID))
    except FileNotFoundError as error:
        hint = (
            "unpack the archive first (tar -xpf)"
            if root.is_file()
            else "create one with colvert sources export"
        )
        raise ColvertError(Code.SOURCES_INVALID, "not a source export", where=where, hint=hint) from error
    except (ValueError, RecursionError) as error:
        raise ColvertError(Code.SOURCES_INVALID, f"the index is damaged: {error}", where=where) from error
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        what = f"unsupported format {found!r}: this Colvert reads {FORMAT!r}"
        raise ColvertError(Code.SOURCES_INVALID, what, where=where)
    try:
        return Index.model_validate(data)
    except ValidationError as error:
        raise ColvertError(Code.SOURCES_INVALID, first_mistake(error), where=where) from error


def _problem(name: str, wanted: Item | None, found: Item | None) -> str:
    """What is wrong with one path, or nothing."""
    if wanted == found:
        return ""
    if wanted is None:
        return f"{name} is not part of the export"
    if found is None:
        return f"{name} is missing"
    for field in ("size", "sha256", "link"):
        old, new = getattr(wanted, field), getattr(found, field)
        if old != new:
            return f"{name} is damaged: its {field} is {new}, not {old}"
    return f"{name} has mode {found.mode or 0:04o}, not {wanted.mode or 0:04o}"
