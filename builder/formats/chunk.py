"""Pieces that image files are made of: bytes, and chunks of a disk."""

from __future__ import annotations

import os
import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass

from builder.formats.deflate import zeros_deflated
from builder.formats.sparse import CHUNK


class Made(ABC):
    """Bytes of an image file whose number is known before they are made."""

    @abstractmethod
    def __len__(self) -> int:
        """How many bytes it is."""

    @abstractmethod
    def raw(self) -> bytes:
        """The bytes themselves."""


class Chunk(Made):
    """64 KiB of a disk, as they are and compressed."""

    def __len__(self) -> int:
        return CHUNK

    @abstractmethod
    def deflated(self) -> bytes:
        """Deflate blocks that end at a byte boundary, none of them the last one."""

    @property
    @abstractmethod
    def deflated_size(self) -> int:
        """How many bytes these are."""

    @property
    @abstractmethod
    def adler(self) -> int:
        """Adler-32 of the bytes as they are (RFC 1950, 8.2)."""


Piece = bytes | Made


@dataclass(frozen=True)
class FileChunk(Chunk):
    """A chunk at a position of a disk, packed at a place of another file; both by descriptor."""

    disk: int
    position: int
    packed: int
    place: int
    size: int
    check: int

    def raw(self) -> bytes:
        return os.pread(self.disk, CHUNK, self.position)

    def deflated(self) -> bytes:
        return os.pread(self.packed, self.size, self.place)

    @property
    def deflated_size(self) -> int:
        return self.size

    @property
    def adler(self) -> int:
        return self.check


class _Unpacked(Chunk):
    """A chunk that was not packed: few, or mostly zeros, or for formats without compression."""

    def deflated(self) -> bytes:
        return zeros_deflated(self.raw())

    @property
    def deflated_size(self) -> int:
        return len(self.deflated())

    @property
    def adler(self) -> int:
        return zlib.adler32(self.raw())


@dataclass(frozen=True)
class PlainChunk(_Unpacked):
    """A chunk in a file."""

    disk: int
    position: int

    def raw(self) -> bytes:
        return os.pread(self.disk, CHUNK, self.position)


@dataclass(frozen=True)
class MemoryChunk(_Unpacked):
    """A chunk that was made just now."""

    data: bytes

    def raw(self) -> bytes:
        return self.data
