"""Ebuild repositories as they describe themselves: name and masters, checked before anything uses them.

A name becomes a directory and a section of repos.conf, so it is held to the grammar of PMS 3.1.5.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.errors import Code, ColvertError, Location, raise_all
from builder.pipeline.key import walk
from builder.pipeline.reading import kind_of, read_regular
from builder.texts import nearest, quote

NAME_FILE = "profiles/repo_name"
LAYOUT_FILE = "metadata/layout.conf"
PROFILES = "profiles"
MAX_SIZE = 64 << 10

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
# PMS 3.2
_VERSION_AT_END = re.compile(r"-[0-9]+(?:\.[0-9]+)*[a-z]?(?:_(?:alpha|beta|pre|rc|p)[0-9]*)*(?:-r[0-9]+)?$")
# a section of repos.conf that means all repositories
_RESERVED = ("DEFAULT",)


@dataclass(frozen=True)
class Layout:
    """Supported settings of a repository's metadata/layout.conf."""

    masters: tuple[str, ...] = ()


def read_repository_name(path: Path) -> str:
    """The name of the repository in `path`; OVERLAY_MISSING where it has none, so that it is none."""
    file = path / NAME_FILE
    text = _read(file)
    if text is None:
        hint = (
            f"write the repository's name to {NAME_FILE}; for an overlay inside a git repository, set `path:`"
        )
        raise ColvertError(
            Code.OVERLAY_MISSING,
            f"not an ebuild repository: {NAME_FILE} is missing",
            where=Location(str(path)),
            hint=hint,
        )
    name = text.strip()
    if problem := name_problem(name):
        hint = "use letters, digits, '_' and '-', as in `my-overlay`"
        raise ColvertError(Code.OVERLAY_INVALID, problem, where=Location(str(file), 1), hint=hint)
    return name


def name_problem(name: str) -> str:
    """Why a text cannot name a repository (PMS 3.1.5), or an empty string."""
    if not name:
        return "the repository name is empty"
    if not _NAME.fullmatch(name):
        return f"invalid repository name {quote(name)}"
    if _VERSION_AT_END.search(name):
        return f"invalid repository name {quote(name)}: it ends like a version"
    return f"invalid repository name {quote(name)}: reserved in repos.conf" if name in _RESERVED else ""


def read_layout(path: Path) -> Layout:
    """The layout.conf of the repository in `path`; one without the file has no masters (portage(5))."""
    file = path / LAYOUT_FILE
    masters: tuple[str, ...] = ()
    problems = []
    for number, line in enumerate((_read(file) or "").splitlines(), 1):
        key, sign, value = line.partition("#")[0].partition("=")
        if sign and key.strip() == "masters":
            masters = tuple(value.split())
            problems = [
                ColvertError(Code.OVERLAY_INVALID, f"masters: {problem}", where=Location(str(file), number))
                for master in masters
                if (problem := name_problem(master))
            ]
    raise_all(problems)
    return Layout(masters)


def _read(file: Path) -> str | None:
    """The text of a small file of a repository, if it is there."""
    try:
        data = read_regular(file, MAX_SIZE, Code.OVERLAY_INVALID)
    except FileNotFoundError:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        where = Location(str(file), line)
        raise ColvertError(
            Code.OVERLAY_INVALID, "the text is not UTF-8", where=where, hint="save the file as UTF-8"
        ) from error


def check_distinct(named: Sequence[tuple[str, Location]]) -> None:
    """Refuse duplicate repository names; each repository comes with its place in the manifest."""
    seen: dict[str, Location] = {}
    problems = []
    for name, where in named:
        if name in seen:
            what = f"duplicate overlay name {name} (also in {seen[name]})"
            hint = "remove one of them, or rename yours in profiles/repo_name"
            problems.append(ColvertError(Code.OVERLAY_INVALID, what, where=where, hint=hint))
        seen.setdefault(name, where)
    raise_all(problems)


def check_masters(name: str, masters: Iterable[str], before: Iterable[str], where: Location) -> None:
    """A repository's masters stand before it in the manifest."""
    known = list(before)
    absent = [master for master in masters if master not in known]
    if absent:
        raise ColvertError(
            Code.OVERLAY_MISSING,
            f"overlay {name} requires its masters before it: {', '.join(absent)}{nearest(absent[0], known)}",
            where=where,
            hint=f"list them above it in `overlays`, or change `masters` in its {LAYOUT_FILE}",
        )


def check_profile(path: Path, profile: str, where: Location) -> None:
    """The first repository of a manifest has its profile."""
    folder = path / PROFILES
    if (folder / profile).is_dir():
        return
    known = [
        str(file.parent.relative_to(folder))
        for file in folder.glob("**/*")
        if file.name in ("eapi", "parent", "make.defaults", "packages") and file.parent != folder
    ]
    raise ColvertError(
        Code.MANIFEST_INVALID,
        f"the first overlay has no profile {quote(profile)}{nearest(profile, sorted(set(known)))}",
        where=where,
        hint=f"choose a profile below {folder}",
    )


def check_files(path: Path) -> None:
    """Everything in a repository is a file, a directory or a link: anything else could not be copied.

    What git keeps in `.git` is no part of it.
    """
    problems = []
    for name, entry in walk(path):
        if name.partition("/")[0] == ".git":
            continue
        kind = kind_of(entry.stat(follow_symlinks=False).st_mode)
        if kind and not entry.is_dir(follow_symlinks=False) and not entry.is_symlink():
            where = Location(os.fspath(entry.path))
            problems.append(ColvertError(Code.OVERLAY_INVALID, f"{kind}, not a regular file", where=where))
    raise_all(problems)
