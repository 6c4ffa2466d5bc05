"""Paths inside a tree, resolved as the machine that runs it resolves them.

A tree holds `usr` and not the links `/bin`, `/lib` and so on that the running system has
beside it; symbolic links in it are absolute for that system, not for the builder.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from builder.errors import Code, ColvertError

# /etc of the packages: the lower layer of the running system's /etc
ETC = "usr/share/colvert/etc"
# What stands beside usr in a merged-/usr root.
COMPAT = {"bin": "usr/bin", "sbin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib"}
# What stands inside usr for the sake of old paths.
INNER = {"usr/sbin": "usr/bin", "usr/lib64": "usr/lib"}
LOOPS = 40


@dataclass(frozen=True)
class Root:
    """A directory that holds `usr`; `etc` is where in it the running system's /etc is kept."""

    path: Path
    etc: str = "etc"

    def at(self, name: str) -> Path:
        """Where the path of the running system is here."""
        first, _, rest = name.partition("/")
        return self.path / (f"{self.etc}/{rest}".rstrip("/") if first == "etc" else name)

    def resolve(self, name: str) -> tuple[str, list[str]]:
        """Follow all links of a path; returns the final path and the links met on the way."""
        links: list[str] = []
        todo = [part for part in name.split("/") if part not in ("", ".")]
        done: list[str] = []
        while todo:
            part = todo.pop(0)
            if part == "..":
                done = done[:-1]
                continue
            here = "/".join([*done, part])
            if not done and part in COMPAT:
                todo = [*COMPAT[part].split("/"), *todo]
                continue
            if not self.at(here).is_symlink():
                done.append(part)
                continue
            links.append(here)
            if len(links) > LOOPS:
                raise ColvertError(Code.IMAGE_INVALID, f"/{name}: too many levels of symbolic links")
            target = os.readlink(self.at(here))
            done = [] if target.startswith("/") else done
            todo = [*(p for p in target.split("/") if p not in ("", ".")), *todo]
        return "/".join(done), links

    def exists(self, name: str) -> bool:
        """Whether a path leads to something."""
        return self.at(self.resolve(name)[0]).exists()

    def glob(self, pattern: str) -> Iterator[str]:
        """The paths that match a pattern, sorted; links on the way are followed as the machine would.

        A wildcard stands for part of one name. A path without one need not exist, if it is a link.
        """
        if not _is_pattern(pattern):
            if self._is_there(pattern):
                yield pattern
            return
        yield from self._matching("", [part for part in pattern.split("/") if part])

    def _matching(self, folder: str, parts: list[str]) -> Iterator[str]:
        """The paths below a directory that match the parts of a pattern."""
        first, *rest = parts
        place = self.at(self.resolve(folder)[0])
        names = os.listdir(place) if place.is_dir() else []
        for name in sorted(fnmatch.filter(names, first)) if _is_pattern(first) else [first]:
            path = f"{folder}/{name}".lstrip("/")
            if rest:
                yield from self._matching(path, rest)
            elif self._is_there(path):
                yield path

    def _is_there(self, name: str) -> bool:
        """Whether there is a path, or a link that leads nowhere."""
        folder, _, base = name.rpartition("/")
        return self.at(f"{self.resolve(folder)[0]}/{base}".lstrip("/")).is_symlink() or self.exists(name)


def _is_pattern(text: str) -> bool:
    return any(mark in text for mark in "*?[")
