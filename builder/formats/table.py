"""The GPT of a disk that is there already: its partitions, and its move to another size.

No tool runs for it: every platform asks. Offsets are those of the UEFI specification 2.10,
tables 5.3 (protective MBR), 5.5 (header) and 5.6 (entry); `gpt.py` makes the table.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from uuid import UUID

from builder.errors import Code, ColvertError
from builder.formats.chunk import MemoryChunk
from builder.formats.content import Content
from builder.formats.gpt import SECTOR, TAIL
from builder.formats.sparse import CHUNK

SIGNATURE = b"EFI PART"
REVISION = 0x00010000
# revision, size, checksum, nothing, own place, the other's, usable sectors, disk, entries, their checksum
HEADER = "<8sIIIIQQQQ16sQIII"
HEADER_SIZE = struct.calcsize(HEADER)
CHECKSUM, DISK = slice(16, 20), slice(56, 72)
ENTRY = "<16s16sQQQ72s"
ENTRY_SIZE = struct.calcsize(ENTRY)
ENTRIES = TAIL - SECTOR
# where the first table's are, and what they end before
FIRST_ENTRIES = 2
FIRST_USABLE = FIRST_ENTRIES + ENTRIES // SECTOR
# the first sector behind its program: a disk signature that nobody uses, one partition, an end
MBR = slice(440, SECTOR)
MBR_PARTITION = "<B3sB3sII"
MBR_MAX = 0xFFFFFFFF


@dataclass(frozen=True)
class Span:
    """A partition: its label, where it starts and how long it is, in bytes; its type."""

    label: str
    start: int
    size: int
    type: UUID


def partitions(content: Content) -> list[Span]:
    """All partitions in the order of the table."""
    entries = _entries(content)
    found = []
    for place in range(0, ENTRIES, ENTRY_SIZE):
        kind, _, start, last, _, label = struct.unpack_from(ENTRY, entries, place)
        if any(kind):
            if not FIRST_USABLE <= start <= last <= _last_usable(content.size):
                raise ColvertError(Code.IMAGE_INVALID, "a partition exceeds the disk")
            name = label.decode("utf-16-le", "replace").rstrip("\0")
            found.append(Span(name, start * SECTOR, (last + 1 - start) * SECTOR, UUID(bytes_le=bytes(kind))))
    return found


def check(content: Content) -> None:
    """Refuse a disk on which other programs may find other partitions than `partitions` does.

    Firmware and kernel take the second table where something of the first is not as UEFI 2.10 (5.3.2)
    wants it, and a DOS table where the first sector is no protective one (5.2.3).
    """
    spans, entries = sorted(partitions(content), key=lambda span: span.start), _entries(content)
    if _read(content, MBR.start, MBR.stop) != _mbr(content.size):
        raise ColvertError(Code.IMAGE_INVALID, "the first sector is not a protective MBR")
    if _read(content, content.size - TAIL, content.size) != _second(entries, _disk(content), content.size):
        raise ColvertError(Code.IMAGE_INVALID, "the backup partition table differs from the primary one")
    end = FIRST_USABLE * SECTOR
    for span in spans:
        if span.start < end:
            raise ColvertError(Code.IMAGE_INVALID, "partitions overlap")
        _nothing(content, end, span.start)
        end = span.start + span.size
    _nothing(content, end, content.size - TAIL)


def _nothing(content: Content, start: int, end: int) -> None:
    for at in content.chunks:
        if start < at + CHUNK and at < end and any(_read(content, max(start, at), min(end, at + CHUNK))):
            raise ColvertError(Code.IMAGE_INVALID, f"data outside the partitions at byte {at}")


def _read(content: Content, start: int, end: int) -> bytes:
    """Some bytes of a disk of whatever size."""
    first = start - start % CHUNK
    blocks = (content.chunks[at].raw() if at in content.chunks else b"" for at in range(first, end, CHUNK))
    return b"".join(block.ljust(CHUNK, b"\0") for block in blocks)[start - first : end - first]


def _entries(content: Content) -> bytes:
    """The table's entries, where its header is just as it is written here."""
    header = _read(content, SECTOR, FIRST_ENTRIES * SECTOR)
    if not header.startswith(SIGNATURE):
        raise ColvertError(Code.IMAGE_INVALID, "the disk has no GPT")
    if content.size % SECTOR:
        raise ColvertError(Code.IMAGE_INVALID, "the disk size is not a multiple of the sector size")
    entries = _read(content, FIRST_ENTRIES * SECTOR, FIRST_USABLE * SECTOR)
    if header != _first(entries, header[DISK], content.size):
        raise ColvertError(Code.IMAGE_INVALID, "the partition table is damaged")
    return entries


def _disk(content: Content) -> bytes:
    return _read(content, SECTOR, FIRST_ENTRIES * SECTOR)[DISK]


def partition(content: Content, label: str) -> Span:
    """The first partition with a label."""
    for span in partitions(content):
        if span.label == label:
            return span
    raise ColvertError(Code.IMAGE_INVALID, f"the disk has no partition {label}")


def least_size(content: Content) -> int:
    """The smallest disk that holds all partitions and the second table behind them."""
    return max(span.start + span.size for span in partitions(content)) + TAIL


def resized(content: Content, size: int) -> Content:
    """The same disk with another size: the second table moves to the new end."""
    if size == content.size:
        return content
    if size < least_size(content) or size % CHUNK:
        need = least_size(content) / (1 << 20)
        raise ColvertError(
            Code.TOO_LARGE, f"the disk requires {need:.1f} MiB, not {size / (1 << 20):.1f} MiB"
        )
    entries, disk = _entries(content), _disk(content)
    whole = bytearray(_read(content, 0, CHUNK))
    whole[MBR] = _mbr(size)
    whole[SECTOR : FIRST_ENTRIES * SECTOR] = _first(entries, disk, size)
    start = Content(CHUNK, {0: MemoryChunk(bytes(whole))})
    end = Content(CHUNK, {0: MemoryChunk(bytes(CHUNK - TAIL) + _second(entries, disk, size))})
    old_end, nothing = (content.size - CHUNK, CHUNK), Content(CHUNK, {})
    return content.over({(0, CHUNK): start, old_end: nothing, (size - CHUNK, CHUNK): end}, size)


def _last_usable(size: int) -> int:
    return (size - TAIL) // SECTOR - 1


def _mbr(size: int) -> bytes:
    """The protective MBR's end: one partition, all of the disk."""
    sectors = min(size // SECTOR - 1, MBR_MAX)
    row = struct.pack(MBR_PARTITION, 0, b"\0\2\0", 0xEE, b"\xff" * 3, 1, sectors)
    return bytes(6) + row + bytes(48) + b"\x55\xaa"


def _first(entries: bytes, disk: bytes, size: int) -> bytes:
    return _header(entries, disk, size, (1, size // SECTOR - 1), FIRST_ENTRIES)


def _second(entries: bytes, disk: bytes, size: int) -> bytes:
    """The table at the end: its entries come first."""
    return entries + _header(entries, disk, size, (size // SECTOR - 1, 1), _last_usable(size) + 1)


def _header(entries: bytes, disk: bytes, size: int, places: tuple[int, int], at: int) -> bytes:
    """A header's sector with its checksum, which is taken with zeros in its own place."""
    header = bytearray(SECTOR)
    struct.pack_into(
        HEADER, header, 0, SIGNATURE, REVISION, HEADER_SIZE, 0, 0, *places, FIRST_USABLE, _last_usable(size),
        disk, at, ENTRIES // ENTRY_SIZE, ENTRY_SIZE, zlib.crc32(entries),
    )  # fmt: skip
    header[CHECKSUM] = zlib.crc32(header[:HEADER_SIZE]).to_bytes(4, "little")
    return bytes(header)
