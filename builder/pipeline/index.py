"""Index of a directory: every path with its type, mode, content digest and link target.

An artifact is named by the SHA-256 of its index. A line of it is `TYPE MODE VALUE` NUL `NAME` NUL, sorted
as `walk` gives the names: VALUE is a file's content digest, a link's target, or empty for a directory.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from builder.errors import Code, ColvertError, Location
from builder.pipeline.key import digest_bytes, digest_content, walk


class Type(StrEnum):
    """What a path is; there are no others in an artifact."""

    FILE = "file"
    DIRECTORY = "dir"
    LINK = "link"


@dataclass(frozen=True)
class Item:
    """One path of an index; `value` is a file's digest or a link's target."""

    name: str
    type: Type
    mode: int
    value: str

    def line(self, name: str | None = None) -> bytes:
        """The item as a line of an index."""
        shown = self.name if name is None else name
        return f"{self.type} {self.mode:o} {self.value}\0{shown}\0".encode("utf-8", "surrogateescape")


def survey(root: Path) -> list[Item]:
    """The index of a directory, its contents hashed.

    Raises IMAGE_INVALID for what is neither file, directory nor symbolic link: a FIFO would be waited for.
    """
    return [_item(name, entry) for name, entry in walk(root)]


def _item(name: str, entry: os.DirEntry[str]) -> Item:
    info = entry.stat(follow_symlinks=False)
    mode = stat.S_IMODE(info.st_mode)
    if stat.S_ISLNK(info.st_mode):
        return Item(name, Type.LINK, 0o777, os.readlink(entry.path))
    if stat.S_ISDIR(info.st_mode):
        return Item(name, Type.DIRECTORY, mode, "")
    if stat.S_ISREG(info.st_mode):
        return Item(name, Type.FILE, mode, digest_content(Path(entry.path), info.st_size))
    raise ColvertError(
        Code.IMAGE_INVALID,
        f"{name} is {_special(info.st_mode)}; only files, directories and symbolic links can be kept",
        where=Location(entry.path),
        hint="remove it; a FIFO or a socket is made on the running machine (tmpfiles.d)",
    )


def _special(mode: int) -> str:
    kinds = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device node")


def as_git_sees(items: Iterable[Item]) -> list[Item]:
    """The items with modes as git keeps them: 0755 for programs and directories, else 0644.

    Other bits are those of the umask with which somebody cloned.
    """
    return [
        Item(item.name, item.type, 0o755 if item.mode & 0o100 else 0o644, item.value)
        if item.type is not Type.LINK
        else item
        for item in items
    ]


def below(items: Iterable[Item], folder: str) -> Iterator[Item]:
    """The items in a folder, named as from there."""
    prefix = f"{folder}/"
    for item in items:
        if item.name.startswith(prefix):
            yield Item(item.name.removeprefix(prefix), item.type, item.mode, item.value)


def to_bytes(items: Iterable[Item]) -> bytes:
    """The index as it is stored and hashed."""
    return b"".join(item.line() for item in items)


def from_bytes(data: bytes) -> list[Item]:
    """An index read back. Raises ValueError where it is none."""
    words = data.decode("utf-8", "surrogateescape").split("\0")
    if words.pop() != "" or len(words) % 2:
        raise ValueError("an index ends in the middle of a line")
    found = []
    for what, name in zip(words[::2], words[1::2], strict=True):
        kind, mode, value = what.split(" ", 2)
        found.append(Item(name, Type(kind), int(mode, 8), value))
    return found


def digest(items: Iterable[Item]) -> str:
    """The name of what has this index."""
    return digest_bytes(to_bytes(items))


def part_digests(items: Iterable[Item]) -> dict[str, str]:
    """For each name at the top of an artifact, the digest of it and all below it."""
    sums: dict[str, hashlib._Hash] = {}
    for item in items:
        top, _, rest = item.name.partition("/")
        sums.setdefault(top, hashlib.sha256()).update(item.line(rest))
    return {name: found.hexdigest() for name, found in sums.items()}
