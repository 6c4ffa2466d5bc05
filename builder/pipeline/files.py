"""Files written whole or not at all, and copies that share blocks or keep holes."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
from contextlib import suppress
from io import FileIO
from pathlib import Path

from builder.errors import Code, ColvertError

# linux/fs.h: _IOW(0x94, 9, int)
FICLONE = 0x40049409
KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symbolic link",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block device",
    stat.S_IFCHR: "character device",
}


def kind(mode: int) -> str:
    """The kind of file that a mode (`st_mode`) stands for, in words."""
    return KINDS.get(stat.S_IFMT(mode), "file of unknown kind")


# --- writing -----------------------------------------------------------------------


def write_atomic(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file in the place of the one there, whole or not at all, also if power fails."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        os.rename(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory outlive a power failure."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_once(path: Path, content: bytes) -> None:
    """Write a file for its owner alone, whole or not at all; of two that come at once the first one stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
        os.link(name, path)
    except FileExistsError:
        pass  # somebody was faster; theirs is as good
    finally:
        os.unlink(name)


def hidden_from_git(directory: Path) -> Path:
    """Make a checkout's state directory, which is no part of the work tree; returns it."""
    directory.mkdir(parents=True, exist_ok=True)
    ignore = directory / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
    return directory


# --- copying -----------------------------------------------------------------------


def open_regular(path: Path | str, *, dir_fd: int | None = None, code: Code = Code.IMAGE_INVALID) -> FileIO:
    """Open a regular file for reading; a link, FIFO, socket or device is a `ColvertError`, and no wait."""
    # looked at before: opening a device may act on it, and a socket cannot be opened
    status = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
    if stat.S_ISREG(status.st_mode):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            return FileIO(descriptor)
        os.close(descriptor)
    raise ColvertError(code, f"{path} is a {kind(status.st_mode)}, not a regular file")


def clone(source: Path, target: Path, mode: int | None = None) -> None:
    """Copy a file to a new one, sharing its blocks where the file system can, with its mode unless given.

    FileExistsError where `target` is there already. Never a hard link.
    """
    with open_regular(source) as stream:
        own = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            copy_data(stream.fileno(), descriptor)
            os.fchmod(descriptor, own if mode is None else mode)
        except BaseException:
            os.unlink(target)
            raise
        finally:
            os.close(descriptor)


def copy_data(source: int, target: int) -> None:
    """Give an empty file the content of another: its blocks (FICLONE), else a copy with the same holes."""
    # whatever the reason is, a copy either works or fails with a better one
    with suppress(OSError):
        fcntl.ioctl(target, FICLONE, source)
        return
    size, position = os.fstat(source).st_size, 0
    os.ftruncate(target, size)
    while position < size:
        try:
            position = os.lseek(source, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return  # only a hole is left
        end = os.lseek(source, position, os.SEEK_HOLE)
        os.lseek(target, position, os.SEEK_SET)
        while position < end:
            count = os.sendfile(target, source, position, end - position)
            if not count:  # cut off meanwhile
                return
            position += count
