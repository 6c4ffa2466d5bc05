"""Formats: what of a package does not ship.

Headers, static libraries, documentation and the like stay in the binary package, where other
packages compile against them, and out of the image.
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path

FOLDERS = (
    "usr/include",
    "usr/lib/cmake",
    "usr/lib/debug",
    "usr/lib/pkgconfig",
    "usr/lib/rpm",
    "usr/share/aclocal",
    "usr/share/bash-completion",
    "usr/share/cmake",
    "usr/share/doc",
    "usr/share/fish",
    "usr/share/gdb",
    "usr/share/gtk-doc",
    "usr/share/i18n",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/pkgconfig",
    "usr/share/zsh",
    "etc/env.d",
    "etc/bash_completion.d",
)
FILES = frozenset({"etc/profile.env", "etc/csh.env", "etc/environment.d/10-gentoo-env.conf"})
GLOBS = (
    "usr/lib/*.a",
    "usr/lib/*.la",
    "usr/lib/*.o",
    "usr/bin/*-config",
    "usr/lib/modules/*/build",
    "usr/lib/modules/*/source",
    "usr/lib/modules/*/System.map",
    "usr/lib/modules/*/vmlinux",
)


def masked(name: str, path: Path, extra: tuple[str, ...] = ()) -> bool:
    """Whether a path of a package stays out of the image (for a directory: with all below it)."""
    base = name.rsplit("/", 1)[-1]
    return (
        name in FOLDERS
        or name in FILES
        or base.startswith(".keep")
        or any(fnmatchcase(name, pattern) for pattern in (*GLOBS, *extra))
        or _for_linking_only(name, base, path)
    )


def _for_linking_only(name: str, base: str, path: Path) -> bool:
    """libX.so next to libX.so.N: a link, or a script, that only a linker reads."""
    if not base.endswith(".so") or name.count("/") != 2 or not name.startswith("usr/lib/"):
        return False
    if path.is_symlink():
        target = os.readlink(path)
        if "/" in target or target == base:
            return False
        other = path.parent / target
        return target.startswith(f"{base}.") or _for_linking_only(f"usr/lib/{target}", target, other)
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(4) != b"\x7fELF"
