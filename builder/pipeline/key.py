"""Digests of values, files and trees, by which the store names things.

All digests are SHA-256 in lower-case hexadecimal. A value's digest is that of its canonical
JSON (sorted keys, no white space, UTF-8).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]


def canonical(value: Json) -> bytes:
    """The one byte string that stands for a JSON value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_value(value: Json) -> str:
    return digest_bytes(canonical(value))


def digest_file(path: Path) -> str:
    with path.open("rb", buffering=0) as stream:
        if os.fstat(stream.fileno()).st_size < SPARSE_FROM:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        found = hashlib.sha256()
        for block in _blocks(stream.fileno()):
            found.update(block)
        return found.hexdigest()


def _blocks(fd: int) -> Iterator[memoryview]:
    """A file's bytes; its holes, most of a disk, are not read."""
    zeros, buffer = memoryview(bytes(LARGE_BLOCK)), bytearray(LARGE_BLOCK)
    size, position = os.fstat(fd).st_size, 0
    while position < size:
        try:
            data = os.lseek(fd, position, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole is left
            data = size
        while position < data:
            count = min(LARGE_BLOCK, data - position)
            yield zeros[:count]
            position += count
        end = os.lseek(fd, position, os.SEEK_HOLE) if position < size else size
        while position < end:
            count = os.preadv(fd, [memoryview(buffer)[: min(LARGE_BLOCK, end - position)]], position)
            if not count:  # somebody cut it off meanwhile
                return
            yield memoryview(buffer)[:count]
            position += count


# Files from this size on are mostly holes (disks) or worth reading only where data is.
SPARSE_FROM = 16 << 20
BLOCK = 1 << 16
LARGE_BLOCK = 1 << 20


def digest_content(path: Path, size: int) -> str:
    """Digest of a file of any size, in time proportional to the data in it.

    A large file counts as its non-zero 64 KiB blocks and their places, so the digest is the
    same whether the zeros are holes or written out.
    """
    if size < SPARSE_FROM:
        return digest_file(path)
    found = hashlib.sha256(f"sparse {size}".encode())
    zeros = bytes(BLOCK)
    with path.open("rb") as stream:
        position = 0
        while position < size:
            try:
                data = os.lseek(stream.fileno(), position, os.SEEK_DATA)
            except OSError:  # ENXIO: only a hole is left
                break
            position = data - data % BLOCK
            stream.seek(position)
            block = stream.read(BLOCK)
            if block.strip(b"\0") if len(block) < BLOCK else block != zeros:
                found.update(position.to_bytes(8, "little"))
                found.update(block)
            position += BLOCK
    return found.hexdigest()


def walk(root: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything below `root` as (relative path, entry), each directory sorted by name."""

    def below(directory: str, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        with os.scandir(directory) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                yield prefix + entry.name, entry
                if entry.is_dir(follow_symlinks=False):
                    yield from below(entry.path, f"{prefix}{entry.name}/")

    yield from below(str(root), "")


def digest_tree(root: Path) -> str:
    """Digest of a directory: names, types, permission bits, contents and link targets.

    Owners and times do not count: the sandbox has one owner, and times are clamped
    wherever they would reach an output.
    """
    lines = hashlib.sha256()
    for name, entry in walk(root):
        info = entry.stat(follow_symlinks=False)
        mode = info.st_mode
        if stat.S_ISLNK(mode):
            what = f"link {os.readlink(entry.path)}"
        elif stat.S_ISDIR(mode):
            what = f"dir {stat.S_IMODE(mode):o}"
        else:
            what = f"file {stat.S_IMODE(mode):o} {digest_content(Path(entry.path), info.st_size)}"
        lines.update(f"{what}\0{name}\0".encode("utf-8", "surrogateescape"))
    return lines.hexdigest()
