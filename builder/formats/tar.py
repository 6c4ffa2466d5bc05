"""A directory as a tar stream that depends on nothing but its content.

Names are sorted, every owner is root, every time is the epoch given (or, without one, the file's
own in whole seconds), and files of equal content and mode are hard links of the first of them:
however the directory's own files are linked, by whomever and in whatever order they were made, the
stream is the same.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.errors import Code, ColvertError
from builder.pipeline.key import digest_file, walk

Seen = dict[tuple[int, int], list[tuple[str, Path]]]


@dataclass(frozen=True)
class TarResult:
    """The digest of a written stream, and how many members it has."""

    sha256: str
    members: int


def write_tar(source: Path, out: Path, *, epoch: int | None) -> TarResult:
    """Write all of `source` (with `.` first, for its mode) to `out`."""
    same = _Same()
    members = 0
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(_member(".", os.lstat(source), epoch))
        for name, entry in walk(source):
            members += 1
            _add(archive, name, Path(entry.path), epoch, same)
    out.chmod(0o644)
    return TarResult(digest_file(out), members)


class _Same:
    """Finds an earlier file of the same mode and content."""

    def __init__(self) -> None:
        self._seen: Seen = {}
        self._digests: dict[Path, str] = {}

    def earlier(self, name: str, path: Path, status: os.stat_result) -> str | None:
        if status.st_size == 0:
            return None
        others = self._seen.setdefault((status.st_size, stat.S_IMODE(status.st_mode)), [])
        for other_name, other in others:
            if self._digest(other) == self._digest(path):
                return other_name
        others.append((name, path))
        return None

    def _digest(self, path: Path) -> str:
        found = self._digests.get(path)
        if found is None:
            with _readable(path):
                found = self._digests[path] = digest_file(path)
        return found


def _add(archive: tarfile.TarFile, name: str, path: Path, epoch: int | None, same: _Same) -> None:
    status = os.lstat(path)
    member = _member(name, status, epoch)
    if stat.S_ISLNK(status.st_mode):
        member.type = tarfile.SYMTYPE
        member.linkname = os.readlink(path)
        archive.addfile(member)
    elif stat.S_ISDIR(status.st_mode):
        archive.addfile(member)
    elif stat.S_ISREG(status.st_mode):
        link = same.earlier(name, path, status)
        if link is not None:
            member.type = tarfile.LNKTYPE
            member.linkname = link
            archive.addfile(member)
            return
        member.size = status.st_size
        with _readable(path), path.open("rb") as content:
            archive.addfile(member, content)
    else:
        raise ColvertError(Code.IMAGE_INVALID, f"{name} is not a file, directory or symbolic link")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """A file that not even its owner may read, such as Debian's /etc/shadow-: its owner may for a moment."""
    status = os.lstat(path)
    if status.st_mode & stat.S_IRUSR or status.st_uid != os.geteuid() or os.geteuid() == 0:
        yield
        return
    path.chmod(stat.S_IMODE(status.st_mode) | stat.S_IRUSR)
    try:
        yield
    finally:
        path.chmod(stat.S_IMODE(status.st_mode))


def _member(name: str, status: os.stat_result, epoch: int | None) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mtime = int(status.st_mtime) if epoch is None else epoch
    if stat.S_ISDIR(status.st_mode):
        member.type = tarfile.DIRTYPE
    member.mode = 0o777 if stat.S_ISLNK(status.st_mode) else stat.S_IMODE(status.st_mode)
    return member
