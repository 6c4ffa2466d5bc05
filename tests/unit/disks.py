"""Small disks without an SDK: a partition table as sfdisk would write it, and data in memory."""

from __future__ import annotations

import struct
import uuid
import zlib

from builder.formats.chunk import Chunk, MemoryChunk
from builder.formats.content import Content
from builder.formats.gpt import MIB, SECTOR, TAIL
from builder.formats.sparse import CHUNK

SIZE = 8 << 30
OEM = (6000 * MIB, 256 * MIB)


def table(size: int = SIZE) -> tuple[bytes, bytes]:
    """The first and the last chunk of a disk with the partitions ESP and OEM."""
    entries = b""
    for label, start, length in (("ESP", MIB, 1024 * MIB), ("OEM", *OEM)):
        place = (start // SECTOR, (start + length) // SECTOR - 1)
        kind, own = uuid.uuid5(uuid.NAMESPACE_DNS, label), uuid.uuid5(uuid.NAMESPACE_OID, label)
        entries += struct.pack(
            "<16s16sQQQ72s", kind.bytes_le, own.bytes_le, *place, 0, label.encode("utf-16-le")
        )
    entries = entries.ljust(128 * 128, b"\0")
    last = size // SECTOR - 1

    def header(own: int, other: int, at: int) -> bytes:
        def pack(check: int) -> bytes:
            return struct.pack(
                "<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, check, 0, own, other, 34,
                last - TAIL // SECTOR, bytes(16), at, 128, 128, zlib.crc32(entries),
            )  # fmt: skip

        return pack(zlib.crc32(pack(0))).ljust(SECTOR, b"\0")

    mbr = bytes(446) + struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff" * 3, 1, min(last, 0xFFFFFFFF))
    first = (mbr.ljust(510, b"\0") + b"\x55\xaa" + header(1, last, 2) + entries).ljust(CHUNK, b"\0")
    return first, bytes(CHUNK - TAIL) + entries + header(last, 1, last - TAIL // SECTOR + 1)


def content(size: int = SIZE) -> Content:
    """A disk with its tables, and some data of which neither all compresses nor all does not."""
    first, last = table(size)
    text = (b"all work and no play " * CHUNK)[:CHUNK]
    chunks: dict[int, Chunk] = {
        0: MemoryChunk(first),
        MIB: MemoryChunk(text),
        MIB + CHUNK: MemoryChunk(bytes(i * i % 251 for i in range(CHUNK))),
        3000 * MIB: MemoryChunk(text[::-1]),
        OEM[0]: MemoryChunk(bytes(100) + b"oem".ljust(CHUNK - 100, b"!")),
        size - CHUNK: MemoryChunk(last),
    }
    return Content(size, chunks)
