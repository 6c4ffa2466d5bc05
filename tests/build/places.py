"""Build tests: places that sandboxed programs can reach, and other circumstances to work in."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def workplace() -> Iterator[Path]:
    """A directory that sandboxed programs can reach (pytest's own are closed to them); for fixtures."""
    path = Path(tempfile.mkdtemp(prefix="colvert-test-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@contextmanager
def elsewhere() -> Iterator[None]:
    """Another umask, and one processor instead of all."""
    processors = os.sched_getaffinity(0)
    mask = os.umask(0o077)
    os.sched_setaffinity(0, {min(processors)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, processors)
        os.umask(mask)
