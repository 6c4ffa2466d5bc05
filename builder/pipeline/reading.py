"""Regular files, read with a limit; a FIFO or a device is an error and is never waited for."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from builder.errors import Code, ColvertError, Location

KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a symbolic link",
}


def kind_of(mode: int) -> str:
    """The kind of a mode (stat's st_mode) other than a regular file: `a FIFO`; an empty string for a file."""
    return KINDS.get(stat.S_IFMT(mode), "")


def read_regular(path: Path, limit: int, code: Code) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises FileNotFoundError where there is none, and a ColvertError with `code`, located at the file,
    for anything else: a FIFO or a device would make the reader wait for ever, or never end.
    """
    where = Location(str(path))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from error
    except OSError as error:
        # a socket cannot be opened at all
        other = error.errno == errno.ENXIO
        what = "not a regular file" if other else f"cannot be read ({error.strerror or error})"
        raise ColvertError(code, what, where=where) from error
    if kind := kind_of(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ColvertError(code, f"{kind}, not a regular file", where=where)
    with os.fdopen(descriptor, "rb") as stream:
        try:
            data = stream.read(limit + 1)
        except OSError as error:
            what = f"cannot be read ({error.strerror or error})"
            raise ColvertError(code, what, where=where) from error
    if len(data) > limit:
        raise ColvertError(code, f"larger than the limit of {limit} bytes", where=where)
    return data
