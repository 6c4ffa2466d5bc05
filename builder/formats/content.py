"""The content of a disk as the writers of image files see it: its data in chunks, compressed once.

All image formats of a disk hold the same data, and most of them compress it with deflate. So
the disk is packed once (`packer.py`, inside the SDK), in blocks that fit into a VMDK's grain,
a qcow2's cluster and a gzip stream alike, and every writer only puts them into its own order
(docs/decisions/packed-once.md). What a platform changes, its OEM partition, is laid over it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from builder.errors import Code, ColvertError
from builder.formats.chunk import Chunk, FileChunk, Piece, PlainChunk
from builder.formats.sparse import CHUNK, data_chunks


@dataclass(frozen=True)
class Packed:
    """A file's chunks and where they are in the two files that `pack` made."""

    data: Path
    index: Path


@dataclass
class Content:
    """Content of a disk of `size` bytes: its chunks by offset, in order; the rest is zero."""

    size: int
    chunks: Mapping[int, Chunk]
    # closed with this object's last user
    files: tuple[OpenFile, ...] = field(default=(), repr=False)

    @cached_property
    def id(self) -> str:
        """A digest of the content, for what must differ where disks differ."""
        found = sha256(f"{self.size}".encode())
        for offset, chunk in self.chunks.items():
            found.update(f" {offset} {chunk.adler}".encode())
        return found.hexdigest()

    def over(self, replaced: Mapping[tuple[int, int], Content], size: int | None = None) -> Content:
        """The same with ranges (start, size) taken from elsewhere, and another size of the whole."""
        ranges = [range(start, start + length) for start, length in replaced]
        kept = {
            offset: chunk for offset, chunk in self.chunks.items() if not any(offset in r for r in ranges)
        }
        for (start, _), other in replaced.items():
            kept.update({start + offset: chunk for offset, chunk in other.chunks.items()})
        files = tuple(file for one in (self, *replaced.values()) for file in one.files)
        return Content(size or self.size, dict(sorted(kept.items())), files)


class OpenFile:
    """A file that is open for reading as long as this object lives."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)


def open_content(disk: Path, packed: Packed) -> Content:
    """The content of a file that was packed."""
    size = _whole(disk)
    raw, data = OpenFile(disk), OpenFile(packed.data)
    rows = json.loads(packed.index.read_text())
    chunks: dict[int, Chunk] = {
        offset: FileChunk(raw.fd, offset, data.fd, place, size, adler) for offset, place, size, adler in rows
    }
    return Content(size, chunks, (raw, data))


def open_plain(disk: Path) -> Content:
    """The content of a file that was not packed."""
    size = _whole(disk)
    file = OpenFile(disk)
    with disk.open("rb", buffering=0) as stream:
        chunks: dict[int, Chunk] = {
            offset: PlainChunk(file.fd, offset) for offset, _ in data_chunks(stream, size)
        }
    return Content(size, chunks, (file,))


def _whole(disk: Path) -> int:
    """The size of a disk, which image files hold in whole chunks."""
    size = disk.stat().st_size
    if size % CHUNK:
        raise ColvertError(
            Code.IMAGE_INVALID,
            f"{disk} has {size} bytes, not a multiple of {CHUNK} (64 KiB)",
            hint="use a size in whole MiB for the disk and its partitions",
        )
    return size


def plain(piece: Piece) -> bytes:
    """A piece of an image file as bytes."""
    return piece if isinstance(piece, bytes) else piece.raw()


def length(pieces: Iterable[Piece]) -> int:
    """How many bytes pieces are, without making those that are not made yet."""
    return sum(map(len, pieces))


def hashed(pieces: Iterable[Piece]) -> str:
    """The SHA-256 of pieces, as hexadecimal digits."""
    found = sha256()
    for piece in pieces:
        found.update(plain(piece))
    return found.hexdigest()


def save(pieces: Iterable[Piece], out: Path) -> Path:
    """Write pieces to a file."""
    with out.open("wb") as stream:
        for piece in pieces:
            stream.write(plain(piece))
    out.chmod(0o644)
    return out


def save_raw(content: Content, out: Path) -> Path:
    """Write a disk to a file, what is zero as holes."""
    with out.open("wb") as stream:
        stream.truncate(content.size)
        for offset, chunk in content.chunks.items():
            os.pwrite(stream.fileno(), chunk.raw(), offset)
    out.chmod(0o644)
    return out


def padding(size: int, unit: int) -> bytes:
    """The zeros that lead from `size` to the next multiple of `unit`."""
    return bytes(-size % unit)


def runs(content: Content) -> Iterator[tuple[int, list[Chunk]]]:
    """The chunks that follow each other without a gap, by the offset of the first."""
    start, found = 0, list[Chunk]()
    for offset, chunk in content.chunks.items():
        if found and offset == start + len(found) * CHUNK:
            found.append(chunk)
            continue
        if found:
            yield start, found
        start, found = offset, [chunk]
    if found:
        yield start, found
