"""File operations below one directory that follow no symbolic link out of it.

A tree that packages decide may hold any link: `usr/share/x -> /var/x` would lead a plain
`open(tree / "usr/share/x/file", "w")` to the builder's own disk. `Inside` holds the directory by
descriptor and resolves every name beneath it with openat2(2); no link is followed, whether it
leads out or not. On kernels before 5.6, and where seccomp hides the call, it walks by component.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from builder.errors import Code, ColvertError
from builder.pipeline.files import copy_data, kind, open_regular

# linux/openat2.h; the number of the system call is the same on every architecture but alpha
OPENAT2 = 437
RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH = 0x02, 0x04, 0x08
# how these say that a component is a link, or is not a directory, or leads out
OBSTRUCTED = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EXDEV})
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class _How(ctypes.Structure):
    """struct open_how."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_LIBC = ctypes.CDLL(None, use_errno=True)


class Inside:
    """A directory, and what is made, written or removed beneath it.

    Names are relative (`usr/bin/x`). Missing directories above a new path are made with mode 0755;
    modes are those given, whatever the umask is. A symbolic link or a file where a directory is
    needed is a `ColvertError` of `code`; `whose` names the owner of a path for its message.
    """

    def __init__(
        self, root: Path, *, code: Code = Code.IMAGE_INVALID, whose: Callable[[str], str] | None = None
    ) -> None:
        self.root = root
        self.code = code
        self.whose = whose or (lambda _name: "")
        self._fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            self.close()

    def close(self) -> None:
        """Release the directory; nothing can be done beneath it afterwards."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # --- looking ----------------------------------------------------------------

    def stat(self, name: str) -> os.stat_result | None:
        """What is at a path (a link itself, not its target), or None."""
        try:
            with self._parent(name) as (parent, base):
                return os.stat(base, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def readlink(self, name: str) -> str:
        """The target of a symbolic link."""
        with self._parent(name) as (parent, base):
            return os.readlink(base, dir_fd=parent)

    def read(self, name: str) -> bytes:
        """The content of a regular file."""
        with self._parent(name) as (parent, base):
            try:
                with open_regular(base, dir_fd=parent, code=self.code) as source:
                    return source.readall()
            except ColvertError as error:
                raise error.but(what=f"/{name.removesuffix(base)}{error.what}") from None

    # --- making -----------------------------------------------------------------

    def make_directory(self, name: str, mode: int = 0o755) -> None:
        """Make a directory; one that is there already gets the mode."""
        with self._parent(name, make=True) as (parent, base):
            with suppress(FileExistsError):
                os.mkdir(base, 0o700, dir_fd=parent)
            try:
                fd = os.open(base, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            except NotADirectoryError:
                raise self._obstructed(name) from None
            with _closing(fd):
                _chmod(fd, mode)

    def write(self, name: str, data: bytes, mode: int = 0o644) -> None:
        """Write a new file; FileExistsError where something is there already."""
        with self._new_file(name, mode) as fd, os.fdopen(fd, "wb", closefd=False) as stream:
            stream.write(data)

    def copy(self, source: Path, name: str, mode: int | None = None) -> None:
        """Copy a regular file from anywhere (its own mode unless given), sharing its blocks if possible.

        FileExistsError where something is there already. Never a hard link: what is written to the
        copy later does not reach the source.
        """
        with open_regular(source, code=self.code) as stream:
            own = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            with self._new_file(name, own if mode is None else mode) as fd:
                copy_data(stream.fileno(), fd)

    def symlink(self, target: str, name: str) -> None:
        """Make a symbolic link; its target may be anything, because no link is followed here."""
        with self._parent(name, make=True) as (parent, base):
            os.symlink(target, base, dir_fd=parent)

    # --- changing ---------------------------------------------------------------

    def chmod(self, name: str, mode: int) -> None:
        """Set the permission bits of a file or directory."""
        with self._parent(name) as (parent, base):
            fd = os.open(base, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            with _closing(fd):
                _chmod(fd, mode)

    def remove(self, name: str) -> None:
        """Remove a file or a link."""
        with self._parent(name) as (parent, base):
            os.unlink(base, dir_fd=parent)

    # --- resolving --------------------------------------------------------------

    @contextmanager
    def _new_file(self, name: str, mode: int) -> Iterator[int]:
        """The descriptor of a new file, which is gone again if its content cannot be written."""
        with self._parent(name, make=True) as (parent, base):
            fd = os.open(base, NEW_FILE, 0o600, dir_fd=parent)
            with _closing(fd):
                try:
                    yield fd
                    # after the content: writing clears the setuid bit
                    os.fchmod(fd, mode)
                except BaseException:
                    with suppress(OSError):
                        os.unlink(base, dir_fd=parent)
                    raise

    @contextmanager
    def _parent(self, name: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The directory of a path as a descriptor, and the last component."""
        folder, _, base = self._plain(name).rpartition("/")
        with _closing(self._folder(folder, make=make)) as fd:
            yield fd, base

    def _folder(self, name: str, *, make: bool) -> int:
        if not name:
            return os.dup(self._fd)
        try:
            return open_beneath(self._fd, name, os.O_PATH | os.O_DIRECTORY)
        except FileNotFoundError:
            if not make:
                raise
        except OSError as error:
            if error.errno not in OBSTRUCTED:
                raise
            raise self._obstructed(name) from None
        self.make_directory(name)
        return self._folder(name, make=False)

    def _plain(self, name: str) -> str:
        if "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
            raise ColvertError(self.code, f"{name!r} is not a path below {self.root}")
        return name

    def _obstructed(self, name: str) -> ColvertError:
        """The error for a path in which a component is not a directory."""
        parts = name.split("/")
        for depth in range(1, len(parts) + 1):
            prefix = "/".join(parts[:depth])
            status = self.stat(prefix)
            if status is not None and not stat.S_ISDIR(status.st_mode):
                break
        # changed meanwhile if none is found: the path itself will do
        found = kind(status.st_mode) if status is not None else "file"
        target = f" to {self.readlink(prefix)}" if found == "symbolic link" else ""
        owner = f" of {self.whose(prefix)}" if self.whose(prefix) else ""
        return ColvertError(
            self.code,
            f"/{name}: /{prefix} is a {found}{target}{owner}, not a directory",
            hint=f"install nothing below /{prefix}, or make it a directory",
        )


def open_beneath(root: int, name: str, flags: int) -> int:
    """Open a path beneath a directory's descriptor; a symbolic link in it is ELOOP or ENOTDIR."""
    try:
        return _openat2(root, name, flags)
    except OSError as error:
        # EPERM is how older container engines answer for calls that they do not know
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
    return _open_by_component(root, name, flags)


def _openat2(root: int, name: str, flags: int) -> int:
    resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
    how = _How(flags=flags | os.O_CLOEXEC, mode=0, resolve=resolve)
    path = ctypes.c_char_p(os.fsencode(name))
    fd = int(
        _LIBC.syscall(
            ctypes.c_long(OPENAT2),
            ctypes.c_long(root),
            path,
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
    )
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return fd


def _open_by_component(root: int, name: str, flags: int) -> int:
    """The same without openat2, one directory after the other."""
    *folders, last = name.split("/")
    fd = os.dup(root)
    for part in folders:
        with _closing(fd):
            way = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(part, way, dir_fd=fd)
    with _closing(fd):
        return os.open(last, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)


@contextmanager
def _closing(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


def _chmod(fd: int, mode: int) -> None:
    """Set a mode by an O_PATH descriptor, which also one with mode 0 can be opened as."""
    if stat.S_ISLNK(os.fstat(fd).st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    os.chmod(f"/proc/self/fd/{fd}", mode)
