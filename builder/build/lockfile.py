"""colvert.lock: versions and digests of what a build takes from elsewhere, written and compared.

The manifest and the code are pinned by the commit; a lock pins what comes from elsewhere: the
SDK's Debian packages, the sources, the overlays and the Python packages.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from builder.errors import Code, ColvertError, Location, raise_all
from builder.manifest.model import GitOverlay, Overlay
from builder.packages.fetch import Distfile
from builder.packages.overlay import Overlay as Repository
from builder.pipeline.files import write_atomic
from builder.pipeline.key import canonical, digest_file, walk
from builder.pipeline.reading import kind_of, read_regular
from builder.pipeline.validation import first_mistake
from builder.sandbox.sdk import Sdk, recipe_digest
from builder.texts import public

NAME = Path("colvert.lock")
FORMAT: Literal["colvert-lock/1"] = "colvert-lock/1"
PROJECT = Path(__file__).parents[2]
REQUIREMENTS = PROJECT / "requirements.lock"
# a lock of ::gentoo with all its sources has some megabytes
MAX_SIZE = 64 << 20


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LockedOverlay(_Part):
    """An overlay: the digest of its files and, where it comes from git, the commit."""

    content: str
    # a lock is committed: it holds no password, not even one that an older Colvert wrote into it
    git: Annotated[str, AfterValidator(public)] | None = None
    commit: str | None = None


class LockedSdk(_Part):
    """The SDK: what it is made from, and every Debian package in it."""

    id: str
    recipe: str
    packages: dict[str, str]


class LockedPython(_Part):
    """The Python packages that run the build, and the digest of the list that pins their files."""

    requirements: str
    packages: dict[str, str]


class LockedSource(_Part):
    """A distfile, as the overlay's Manifest pins it."""

    size: int
    blake2b: str
    sha512: str


class Lock(_Part):
    """All that a build takes from elsewhere."""

    format: Literal["colvert-lock/1"] = FORMAT
    overlays: dict[str, LockedOverlay]
    python: LockedPython
    sdk: LockedSdk
    sources: dict[str, LockedSource]

    def text(self) -> str:
        """The file: equal locks are equal texts."""
        return json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read_lock(path: Path) -> Lock:
    """A lock from its file; whatever else the file holds is LOCK_INVALID."""
    where = Location(str(path))
    try:
        data = json.loads(read_regular(path, MAX_SIZE, Code.LOCK_INVALID))
    except FileNotFoundError as error:
        hint = "write it with colvert lock, or choose another with --lock FILE"
        raise ColvertError(Code.LOCK_INVALID, "lock file not found", where=where, hint=hint) from error
    except (ValueError, RecursionError) as error:
        raise ColvertError(
            Code.LOCK_INVALID,
            f"not a lock file: {error}",
            where=where,
            hint="restore the file: it is damaged or truncated",
        ) from error
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        what = f"unsupported lock format {found!r}: this Colvert reads {FORMAT!r}"
        raise ColvertError(Code.LOCK_INVALID, what, where=where, hint="write it again with colvert lock")
    try:
        return Lock.model_validate(data)
    except ValidationError as error:
        raise ColvertError(Code.LOCK_INVALID, first_mistake(error), where=where) from error


def write_lock(lock: Lock, path: Path) -> None:
    """Write the file; what was there before stands until the new one is whole."""
    write_atomic(path, lock.text().encode())


# --- what is here now -----------------------------------------------------------


def lock_overlays(named: Iterable[Overlay], found: Iterable[Repository]) -> dict[str, LockedOverlay]:
    """The overlays of a manifest, and where each lies."""
    locked = {}
    for entry, overlay in zip(named, found, strict=True):
        content = digest_files(overlay.path)
        if isinstance(entry, GitOverlay):
            locked[overlay.name] = LockedOverlay(content=content, git=entry.git, commit=entry.commit)
        else:
            locked[overlay.name] = LockedOverlay(content=content)
    return locked


def digest_files(root: Path) -> str:
    """Digest of a directory as git sees it: names, contents, links, and the executable bit.

    Other permission bits depend on the checkout, and `.git` belongs to git.
    """
    lines = hashlib.sha256()
    for name, entry in walk(root):
        info = entry.stat(follow_symlinks=False)
        if name.partition("/")[0] == ".git":
            continue
        if stat.S_ISLNK(info.st_mode):
            what = f"link {os.readlink(entry.path)}"
        elif stat.S_ISDIR(info.st_mode):
            continue
        elif kind := kind_of(info.st_mode):
            raise ColvertError(
                Code.OVERLAY_INVALID,
                f"{kind}, not a regular file",
                where=Location(entry.path),
                hint="remove it",
            )
        else:
            what = f"{'program' if info.st_mode & 0o100 else 'file'} {digest_file(Path(entry.path))}"
        lines.update(f"{what}\0{name}\0".encode("utf-8", "surrogateescape"))
    return lines.hexdigest()


def lock_python() -> LockedPython:
    """The packages of requirements.lock in the versions that run here."""
    if not REQUIREMENTS.is_file():
        raise ColvertError(
            Code.USAGE,
            "the list of Python packages is missing from this installation of Colvert",
            where=Location(str(REQUIREMENTS)),
            hint="run colvert lock from a git checkout",
        )
    names = re.findall(r"^([\w.-]+)==", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE)
    return LockedPython(
        requirements=digest_file(REQUIREMENTS), packages={name: _installed(name) for name in names}
    )


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def lock_sdk(sdk: Sdk) -> LockedSdk:
    """The SDK, with the versions that its own package manager had."""
    return LockedSdk(id=sdk.id, recipe=recipe_digest(), packages=sdk.packages())


def lock_sources(sources: Iterable[Distfile]) -> dict[str, LockedSource]:
    """The distfiles of a plan."""
    return {
        item.name: LockedSource(size=item.size, blake2b=item.blake2b, sha512=item.sha512)
        for item in sorted(sources, key=lambda item: item.name)
    }


# --- what differs -----------------------------------------------------------------


def check_locked(path: Path, **now: Any) -> None:
    """Hold parts of a lock (`overlays=`, `python=`, ...) against what is here now.

    Raises LOCK_DIFFERS with every difference: its place, the locked value and the present one.
    """
    locked = read_lock(path).model_dump(mode="json")
    errors = []
    for part, found in now.items():
        for place, old, new in differences(locked[part], _plain(found), part):
            what = f"{place}: locked to {_said(old)}, found {_said(new)}"
            errors.append(ColvertError(Code.LOCK_DIFFERS, what, where=Location(str(path))))
    if errors:
        hint = (
            "restore the locked inputs (colvert sources export keeps them), or accept these with colvert lock"
        )
        errors[-1] = errors[-1].but(hint=hint)
    raise_all(errors)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return {key: _plain(inner) for key, inner in value.items()} if isinstance(value, Mapping) else value


def differences(old: Any, new: Any, place: str) -> Iterable[tuple[str, Any, Any]]:
    """(dotted place, old value, new value) of all that differs; None stands for nothing there."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from differences(old.get(key), new.get(key), f"{place}.{key}")
    elif old != new:
        yield place, old, new


def _said(value: Any) -> str:
    if value is None:
        return "nothing"
    return value if isinstance(value, str) else canonical(value).decode()
