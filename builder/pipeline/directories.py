"""Directories as wholes: sized, made read-only, written to the disk, deleted."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from builder.pipeline.index import Item, Type
from builder.pipeline.key import walk

_LIBC = ctypes.CDLL(None, use_errno=True)


def make_read_only(root: Path, items: Iterable[Item]) -> None:
    """Take every right to write away; the index has the true modes."""
    for item in items:
        if item.type is Type.FILE:
            os.chmod(root / item.name, 0o555 if item.mode & 0o111 else 0o444)
        elif item.type is Type.DIRECTORY:
            os.chmod(root / item.name, 0o755)
    os.chmod(root, 0o755)


def sync_file_system(path: Path) -> None:
    """Write everything of a file system to its disk (syncfs(2)): one call for thousands of files."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _LIBC.syncfs(fd):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(fd)


def sizes(root: Path) -> list[tuple[str, int]]:
    """The files of a directory with their sizes."""
    return [(name, one.stat().st_size) for name, one in walk(root) if one.is_file(follow_symlinks=False)]


def tree_size(root: Path) -> int:
    """Bytes that a directory takes on disk, sparse files as they are."""
    return sum(entry.stat(follow_symlinks=False).st_blocks * 512 for _, entry in walk(root))


def discard(path: Path) -> None:
    """Delete a file or a directory, also one with directories that forbid it."""
    if path.is_file() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    if not path.exists():
        return
    try:
        shutil.rmtree(path)
    except OSError:
        with suppress(OSError):
            os.chmod(path, 0o700)
        for directory, names, _ in os.walk(path):
            for name in names:
                with suppress(OSError):
                    os.chmod(os.path.join(directory, name), 0o700, follow_symlinks=False)
        shutil.rmtree(path, ignore_errors=True)
