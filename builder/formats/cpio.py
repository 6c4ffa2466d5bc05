"""cpio archives in the kernel's "newc" form.

The form is Documentation/driver-api/early-userspace/buffer-format.rst of the kernel. Members
come in the order of their names, all owned by root and of one time, so that an archive
depends on nothing but its content.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

TRAILER = "TRAILER!!!"


@dataclass(frozen=True)
class Member:
    """One member: a directory, a symbolic link (content is its target) or a file."""

    mode: int
    content: bytes | Path = b""

    @classmethod
    def directory(cls, mode: int = 0o755) -> Member:
        return cls(stat.S_IFDIR | mode)

    @classmethod
    def link(cls, target: str) -> Member:
        return cls(stat.S_IFLNK | 0o777, target.encode())

    @classmethod
    def file(cls, content: bytes | Path, mode: int = 0o644) -> Member:
        return cls(stat.S_IFREG | mode, content)

    @property
    def size(self) -> int:
        return self.content.stat().st_size if isinstance(self.content, Path) else len(self.content)

    def read(self) -> bytes:
        return self.content.read_bytes() if isinstance(self.content, Path) else self.content


def write_cpio(members: Mapping[str, Member], out: BinaryIO, *, epoch: int) -> None:
    """Write an archive of all members; a parent must be there before what is in it, and sorting does that."""
    written = 0
    for number, name in enumerate(sorted(members), start=1):
        written += _write(out, name, members[name], number, epoch)
    written += _write(out, TRAILER, Member(0), 0, 0)
    # readers expect whole blocks
    out.write(bytes(-written % 512))


def _write(out: BinaryIO, name: str, member: Member, inode: int, epoch: int) -> int:
    path = name.encode() + b"\0"
    mode, data = member.mode, member.read()
    links = 2 if stat.S_ISDIR(mode) else 1
    # inode, mode, uid, gid, links, time, size, device (2), the device it names (2), name's size, checksum
    fields = (inode, mode, 0, 0, links, epoch, len(data), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    head += bytes(-len(head) % 4)
    body = data + bytes(-len(data) % 4)
    out.write(head)
    out.write(body)
    return len(head) + len(body)
