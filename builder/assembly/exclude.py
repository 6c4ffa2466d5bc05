"""Paths of packages that stay out of the image (headers, static libraries, documentation) or go aside.

They stay in the binary package, where other packages compile against them.
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

# Needed to make the UKI, the ESP and the initrd; of no use once they are made.
SIDE = (
    "usr/lib/colvert/initrd",
    "usr/lib/colvert/initrd.list",
    "usr/lib/modules/*/vmlinuz",
    "usr/lib/modules/*/config",
    "usr/lib/systemd/boot/efi/*.stub",
)


def goes_aside(name: str) -> bool:
    """Whether a path is needed to make the image and is not part of it."""
    return any(fnmatchcase(name, pattern) or name.startswith(f"{pattern}/") for pattern in SIDE)


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
    # through links of that kind to others beside them; one that comes back to itself is none
    met: set[str] = set()
    while path.is_symlink():
        target = os.readlink(path)
        if "/" in target or target in met:
            return False
        if target.startswith(f"{path.name}."):
            return True
        if not target.endswith(".so"):
            return False
        met.add(target)
        path = path.with_name(target)
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(4) != b"\x7fELF"
