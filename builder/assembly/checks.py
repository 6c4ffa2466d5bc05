"""Checks of what a package holds: kinds of files, names and attributes that no image can have."""

from __future__ import annotations

import os
import stat
from fnmatch import fnmatchcase
from pathlib import Path

from builder.assembly.exclude import goes_aside
from builder.assembly.root import ETC
from builder.errors import Code, ColvertError
from builder.pipeline.files import kind

# Rules and the builder's own code read and write below these, and what is made of them is a directory.
FOLDERS = frozenset(
    {
        ETC,
        *(ETC[:at] for at in range(len(ETC)) if ETC[at] == "/"),
        "usr/bin",
        "usr/lib",
        "usr/lib/colvert",
        "usr/lib/colvert/initrd",
        "usr/lib/modules",
        "usr/lib/sysctl.d",
        "usr/lib/systemd",
        "usr/lib/systemd/boot",
        "usr/lib/systemd/boot/efi",
        "usr/lib/systemd/system",
        "usr/lib/systemd/system-preset",
        "usr/lib/sysusers.d",
        "usr/lib/tmpfiles.d",
    }
)
# Read by the builder where it stands, to make the UKI and the ESP.
PROGRAMS = ("usr/lib/modules/*/vmlinuz", "usr/lib/systemd/boot/efi/*")
# Of the attributes that a file can have, those that mean something to programs and that neither
# binary packages nor images keep; others (security.selinux) come from the builder's own system.
LOST_ATTRIBUTES = ("security.capability", "user.*")


def problem_of(name: str, there: str | None, path: Path, status: os.stat_result) -> ColvertError | None:
    """The error of a package's path that would be `there` in the tree, or None."""
    if there is None:
        return _invalid(
            f"/{name} is outside /usr and /etc, the only directories of an image",
            "install it below /usr, or create it at boot with tmpfiles.d",
        )
    if not _is_text(name):
        return _invalid(f"the file name /{name} is not UTF-8", "rename the file in the ebuild")
    if there in FOLDERS and not stat.S_ISDIR(status.st_mode):
        return _invalid(
            f"/{name} is a {kind(status.st_mode)} and must be a directory",
            "install the files themselves there in the ebuild",
        )
    if stat.S_ISLNK(status.st_mode):
        return _problem_of_link(name, there, os.readlink(path))
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return _invalid(
            f"/{name} is a {kind(status.st_mode)}: only files, directories and links are supported",
            "create it at boot with tmpfiles.d",
        )
    lost = lost_attributes(path)
    if lost:
        return _invalid(
            f"/{name} has extended attributes ({', '.join(lost)}), which an image cannot store",
            "grant the capabilities in the unit (AmbientCapabilities=, CapabilityBoundingSet=)",
        )
    return None


def _problem_of_link(name: str, there: str, target: str) -> ColvertError | None:
    if not _is_text(target):
        return _invalid(
            f"the target of the symbolic link /{name} is not UTF-8", "rename the target in the ebuild"
        )
    if any(fnmatchcase(there, pattern) for pattern in PROGRAMS) or (
        goes_aside(there) and not there.startswith("usr/lib/colvert/initrd/")
    ):
        return _invalid(
            f"/{name} is a symbolic link to {target} and must be the file itself",
            "install the file instead of the link in the ebuild",
        )
    return None


def lost_attributes(path: Path) -> list[str]:
    """The extended attributes of a file that would be lost on the way into an image."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:  # a file system without them
        return []
    return sorted(name for name in names if any(fnmatchcase(name, lost) for lost in LOST_ATTRIBUTES))


def _is_text(name: str) -> bool:
    """Whether a name is UTF-8; bytes that are not come as lone surrogates (PEP 383)."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _invalid(what: str, hint: str) -> ColvertError:
    return ColvertError(Code.IMAGE_INVALID, what, hint=hint)
