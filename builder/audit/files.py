"""Findings in the files of a tree: modes, links, owners, and what tmpfiles.d will make."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.assembly.root import ETC, Root
from builder.audit.findings import Found
from builder.audit.policy import Check
from builder.errors import ColvertError
from builder.pipeline.key import walk

TMPFILES = ("usr/lib/tmpfiles.d", f"{ETC}/tmpfiles.d")
# tmpfiles.d(5): type, path, mode; a mode may have signs before it
MODE = re.compile(r"^([a-zA-Z])[!+=~^$?-]*\s+(/\S*)\s+[~:]*([0-7]{3,5})(?:\s|$)")
RULE = "rule:"


@dataclass(frozen=True)
class Tree:
    """Output of the tree stage: the tree, the owner of each path, and the packages."""

    path: Path
    owners: Mapping[str, str]
    packages: frozenset[str]

    def owner(self, name: str) -> str:
        return self.owners.get(name, "")

    @property
    def root(self) -> Root:
        return Root(self.path, ETC)


def check_files(tree: Tree) -> Iterator[Found]:
    """Modes, links and owners of everything in the tree."""
    for name, entry in walk(tree.path):
        owner = tree.owner(name)
        if not (owner in tree.packages or (owner.startswith(RULE) and owner != RULE)):
            what = (
                f"belongs to {owner}, which is not in the image"
                if owner
                else "belongs to no package and no rule"
            )
            yield Found(Check.OWNERS, name, "", what)
        if entry.is_symlink():
            yield from _link(tree, name)
        else:
            yield from _modes(name, entry.stat(follow_symlinks=False).st_mode, owner)
    for name in sorted(set(tree.owners) - {name for name, _entry in walk(tree.path)}):
        yield Found(Check.OWNERS, name, "", f"belongs to {tree.owner(name)}, but is missing")


def _modes(name: str, mode: int, owner: str) -> Iterator[Found]:
    text = f"{stat.S_IMODE(mode):04o}"
    if mode & (stat.S_ISUID | stat.S_ISGID):
        kinds = [word for bit, word in ((stat.S_ISUID, "setuid"), (stat.S_ISGID, "setgid")) if mode & bit]
        yield Found(Check.SETUID, name, text, f"is {' and '.join(kinds)} (mode {text})", owner)
    if mode & stat.S_IWOTH:
        yield Found(Check.WRITABLE, name, text, f"is world-writable (mode {text})", owner)


def _link(tree: Tree, name: str) -> Iterator[Found]:
    owner, root = tree.owner(name), tree.root
    # what is kept for /etc leads on from there
    seen = f"etc{name.removeprefix(ETC)}" if name.startswith(f"{ETC}/") else name
    try:
        target = root.resolve(seen)[0]
    except ColvertError:
        yield Found(Check.LINKS, name, "/" + seen, "is a link to itself", owner)
        return
    if not os.path.lexists(root.at(target)):
        yield Found(Check.LINKS, name, f"/{target}", f"is a dangling link to /{target}", owner)


def check_tmpfiles(tree: Tree) -> Iterator[Found]:
    """World-writable and setuid paths that tmpfiles.d creates or changes."""
    for folder in TMPFILES:
        for path in sorted((tree.path / folder).glob("*.conf")):
            owner = tree.owner(f"{folder}/{path.name}")
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                hit = MODE.match(line)
                if hit is None:
                    continue
                for found in _modes(hit[2].strip("/"), int(hit[3], 8), owner):
                    what = f"{found.what}, created by {folder}/{path.name}:{number}"
                    yield Found(found.check, found.subject, found.detail, what, owner)
