"""Formats: the GPT of a disk that is there already: its partitions, and its move to another size.

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
HEADER_SIZE = 92
CHECKSUM, OWN_PLACE, OTHER_PLACE = slice(16, 20), slice(24, 32), slice(32, 40)
LAST_USABLE, ENTRIES_PLACE = slice(48, 56), slice(72, 80)
ENTRIES_CHECKSUM = slice(88, 92)
ENTRIES = "<QII"  # at 72: where, how many, how large
ENTRY = "<16s16sQQQ72s"
ENTRY_SIZE = struct.calcsize(ENTRY)
# the protective MBR's one partition: how many sectors it has
MBR_SECTORS = slice(458, 462)
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
    entries, size = _entries(_first(content))
    found = []
    for place in range(0, len(entries), size):
        kind, _, start, last, _, label = struct.unpack_from(ENTRY, entries, place)
        if any(kind):
            if not 0 < start <= last < content.size // SECTOR:
                raise ColvertError(Code.IMAGE_INVALID, "a partition is not within the disk")
            name = label.decode("utf-16-le", "replace").rstrip("\0")
            found.append(Span(name, start * SECTOR, (last + 1 - start) * SECTOR, UUID(bytes_le=bytes(kind))))
    return found


def _entries(first: bytes) -> tuple[bytes, int]:
    """The table's entries and the size of one, where both checksums are right.

    Where they are not, firmware and kernel take the second table, which nobody looked at here.
    """
    header = first[SECTOR : 2 * SECTOR]
    at, number, size = struct.unpack_from(ENTRIES, header, 72)
    entries = first[at * SECTOR : at * SECTOR + number * size]
    right = (
        at == 2
        and size == ENTRY_SIZE
        and len(entries) == number * size
        and header[ENTRIES_CHECKSUM] == zlib.crc32(entries).to_bytes(4, "little")
        and header == _signed(bytearray(header))
    )
    if not right:
        raise ColvertError(Code.IMAGE_INVALID, "the disk's partition table is damaged")
    return entries, size


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
        raise ColvertError(Code.TOO_LARGE, f"the disk needs {need:.1f} MiB, not {size / (1 << 20):.1f}")
    first = bytearray(_first(content))
    table = slice(2 * SECTOR, 2 * SECTOR + TAIL - SECTOR)
    last = size // SECTOR - 1
    first[MBR_SECTORS] = min(last, MBR_MAX).to_bytes(4, "little")
    header = bytearray(first[SECTOR : 2 * SECTOR])
    header[OTHER_PLACE] = last.to_bytes(8, "little")
    header[LAST_USABLE] = (last - TAIL // SECTOR).to_bytes(8, "little")
    first[SECTOR : 2 * SECTOR] = _signed(header)
    header[OWN_PLACE], header[OTHER_PLACE] = header[OTHER_PLACE], header[OWN_PLACE]
    header[ENTRIES_PLACE] = (last - TAIL // SECTOR + 1).to_bytes(8, "little")
    tail = bytes(CHUNK - TAIL) + bytes(first[table]) + _signed(header)
    old_end = (content.size - CHUNK, CHUNK)
    start = Content(CHUNK, {0: MemoryChunk(bytes(first))})
    end = Content(CHUNK, {0: MemoryChunk(tail)})
    nothing = Content(CHUNK, {})
    return content.over({(0, CHUNK): start, old_end: nothing, (size - CHUNK, CHUNK): end}, size)


def _first(content: Content) -> bytes:
    first = content.chunks[0].raw() if 0 in content.chunks else b""
    if len(first) < CHUNK or first[SECTOR : SECTOR + len(SIGNATURE)] != SIGNATURE:
        raise ColvertError(Code.IMAGE_INVALID, "the disk has no partition table")
    return first


def _signed(header: bytearray) -> bytes:
    """A header's sector with its checksum, which is taken with zeros in its own place."""
    signed = bytearray(header)
    signed[CHECKSUM] = bytes(4)
    signed[CHECKSUM] = zlib.crc32(signed[:HEADER_SIZE]).to_bytes(4, "little")
    return bytes(signed)
