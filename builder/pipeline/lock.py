"""Advisory file locks that end with the process that holds them (flock(2))."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def held(path: Path, *, shared: bool = False, wait: bool = True, keep: bool = True) -> Iterator[bool]:
    """Hold the lock file `path`; yields False where `wait` is off and another holds it.

    With `keep` off the file is removed afterwards, so that locks of passing names do not pile up.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = lock(path, shared=shared, wait=wait)
    try:
        yield fd is not None
    finally:
        if fd is not None:
            if not keep:
                with suppress(FileNotFoundError):
                    path.unlink()
            os.close(fd)


def lock(path: Path, *, shared: bool = False, wait: bool = True) -> int | None:
    """Lock a file; returns its descriptor, or None where another holds it and `wait` is off."""
    mode = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, mode)
        except BlockingIOError:
            os.close(fd)
            return None
        # its last holder may have removed it while this one waited
        if _is_at(fd, path):
            return fd
        os.close(fd)


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False
