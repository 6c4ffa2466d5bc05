"""Disks as VMDK, VMware's virtual disk, in two of its kinds.

`stream_vmdk` is the compressed one that is read from front to back (OVA, EC2, VirtualBox),
`sparse_vmdk` the one that Workstation and Fusion run from. Numbers and names are those of
VMware's "Virtual Disk Format 5.0"; sections are named where they stand.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import groupby

from builder.formats.chunk import Chunk, Made, Piece
from builder.formats.content import Content, padding
from builder.formats.deflate import LAST_BLOCK
from builder.formats.sparse import CHUNK

SECTOR = 512
# "Hosted Sparse Extent Header"
HEADER = "<4sIIQQQQIQQQB4sH433x"
MAGIC = b"KDMV"
LINE_ENDS = b"\n \r\n"  # a copy in text mode would have changed these
VALID_LINE_ENDS, REDUNDANT_TABLE = 1 << 0, 1 << 1
COMPRESSED_GRAINS, HAS_MARKERS = 1 << 16, 1 << 17
SPARSE_VERSION, STREAM_VERSION = 1, 3
DEFLATE = 1
AT_END = 0xFFFFFFFFFFFFFFFF  # gdOffset of a stream: the footer knows
GRAIN = CHUNK // SECTOR
GRAIN_MARKER = struct.Struct("<QI")  # its first sector, the size of its data
TABLE_ENTRIES = 512
TABLE_SECTORS = TABLE_ENTRIES * 4 // SECTOR
DESCRIPTOR_AT, DESCRIPTOR_SECTORS = 1, 20
# RFC 1950, 2.2: deflate with a window of 4 KiB (what `content` packs with), default level
ZLIB_HEADER = b"\x48\x89"
# VMware's hosts have counted disks like this since they take more than 8 GB
HEADS, TRACK = 255, 63
MAX_CYLINDERS = 65535


class Marker(IntEnum):
    """What follows in a stream ("Stream-Optimized Compressed Sparse Extents")."""

    END = 0
    TABLE = 1
    DIRECTORY = 2
    FOOTER = 3


@dataclass(frozen=True)
class Vmdk:
    """Metadata of a VMDK: its file name, virtual hardware and controller."""

    name: str
    hardware: int
    adapter: str = "lsilogic"


def cid(content: Content) -> int:
    """The content id ("The Descriptor File"): of the content, and none of the special values."""
    found = int(content.id[:8], 16)
    return found if 0 < found < 0xFFFFFFFE else 1


def descriptor(content: Content, vmdk: Vmdk, kind: str) -> bytes:
    """The text that describes the disk, padded to its place in the file."""
    sectors = content.size // SECTOR
    cylinders = min(sectors // (HEADS * TRACK), MAX_CYLINDERS)
    text = f"""# Disk DescriptorFile
version=1
CID={cid(content):08x}
parentCID=ffffffff
createType="{kind}"

# Extent description
RW {sectors} SPARSE "{vmdk.name}"

# The Disk Data Base
#DDB

ddb.virtualHWVersion = "{vmdk.hardware}"
ddb.geometry.cylinders = "{cylinders}"
ddb.geometry.heads = "{HEADS}"
ddb.geometry.sectors = "{TRACK}"
ddb.adapterType = "{vmdk.adapter}"
ddb.longContentID = "{content.id[8:32]}{cid(content):08x}"
""".encode()
    return text.ljust(DESCRIPTOR_SECTORS * SECTOR, b"\0")


@dataclass(frozen=True)
class _Header:
    """What of the header differs between the two kinds; places are in sectors."""

    version: int
    flags: int
    redundant: int
    directory: int
    data: int
    compression: int = 0

    def write(self, content: Content) -> bytes:
        return struct.pack(
            HEADER, MAGIC, self.version, self.flags, content.size // SECTOR, GRAIN,
            DESCRIPTOR_AT, DESCRIPTOR_SECTORS, TABLE_ENTRIES, self.redundant, self.directory,
            self.data, 0, LINE_ENDS, self.compression,
        )  # fmt: skip


def _tables(content: Content) -> int:
    """How many grain tables cover the disk ("Grain Directory")."""
    return -(-content.size // (CHUNK * TABLE_ENTRIES))


def _by_table(content: Content) -> Iterator[tuple[int, dict[int, Chunk]]]:
    """The grains that have data, by the table that they are in."""
    grains = ((offset // CHUNK, chunk) for offset, chunk in content.chunks.items())
    for number, found in groupby(grains, lambda grain: grain[0] // TABLE_ENTRIES):
        yield number, dict(found)


def _table(places: Mapping[int, int]) -> bytes:
    """One grain table, from the grains that are in it and where they are."""
    table = [0] * TABLE_ENTRIES
    for grain, place in places.items():
        table[grain % TABLE_ENTRIES] = place
    return struct.pack(f"<{TABLE_ENTRIES}I", *table)


# --- stream-optimized ---------------------------------------------------------------


def _marker(kind: Marker, sectors: int) -> bytes:
    return struct.pack("<QII496x", sectors, 0, kind)


@dataclass(frozen=True)
class _Grain(Made):
    """A compressed grain behind its marker, padded."""

    number: int
    chunk: Chunk

    def _size(self) -> int:
        return len(ZLIB_HEADER) + self.chunk.deflated_size + len(LAST_BLOCK) + 4

    def __len__(self) -> int:
        return -(-(GRAIN_MARKER.size + self._size()) // SECTOR) * SECTOR

    def raw(self) -> bytes:
        data = ZLIB_HEADER + self.chunk.deflated() + LAST_BLOCK + self.chunk.adler.to_bytes(4, "big")
        grain = GRAIN_MARKER.pack(self.number * GRAIN, len(data)) + data
        return grain + padding(len(grain), SECTOR)


def stream_vmdk(content: Content, vmdk: Vmdk) -> Iterator[Piece]:
    """The disk as a stream-optimized VMDK: grains in their order, each table behind its grains."""
    flags = VALID_LINE_ENDS | COMPRESSED_GRAINS | HAS_MARKERS
    header = _Header(STREAM_VERSION, flags, 0, AT_END, GRAIN, DEFLATE)
    head = header.write(content) + descriptor(content, vmdk, "streamOptimized")
    yield head + padding(len(head), GRAIN * SECTOR)
    at = GRAIN
    tables = [0] * _tables(content)
    for number, chunks in _by_table(content):
        places: dict[int, int] = {}
        for grain, chunk in chunks.items():
            piece = _Grain(grain, chunk)
            places[grain] = at
            at += len(piece) // SECTOR
            yield piece
        yield _marker(Marker.TABLE, TABLE_SECTORS) + _table(places)
        tables[number] = at + 1
        at += 1 + TABLE_SECTORS
    directory = struct.pack(f"<{len(tables)}I", *tables)
    directory += padding(len(directory), SECTOR)
    yield _marker(Marker.DIRECTORY, len(directory) // SECTOR) + directory
    footer = replace(header, directory=at + 1).write(content)
    yield _marker(Marker.FOOTER, 1) + footer + _marker(Marker.END, 0)


# --- monolithic sparse ----------------------------------------------------------------


def sparse_vmdk(content: Content, vmdk: Vmdk) -> Iterator[Piece]:
    """The disk as a VMDK that can be written to: two copies of all tables, then plain grains."""
    tables = _tables(content)
    directory = -(-tables * 4 // SECTOR)
    redundant = DESCRIPTOR_AT + DESCRIPTOR_SECTORS
    primary = redundant + directory + tables * TABLE_SECTORS
    end = primary + directory + tables * TABLE_SECTORS
    start = -(-end // GRAIN) * GRAIN
    flags = VALID_LINE_ENDS | REDUNDANT_TABLE
    header = _Header(SPARSE_VERSION, flags, redundant, primary, start)
    yield header.write(content) + descriptor(content, vmdk, "monolithicSparse")
    grains = bytearray(tables * TABLE_SECTORS * SECTOR)
    at = start
    for number, chunks in _by_table(content):
        places = {grain: at + count * GRAIN for count, grain in enumerate(chunks)}
        at += len(chunks) * GRAIN
        first = number * TABLE_SECTORS * SECTOR
        grains[first : first + TABLE_SECTORS * SECTOR] = _table(places)
    for copy in (redundant, primary):
        first = copy + directory
        entries = struct.pack(f"<{tables}I", *(first + number * TABLE_SECTORS for number in range(tables)))
        yield entries + padding(len(entries), SECTOR) + grains
    yield padding(end * SECTOR, GRAIN * SECTOR)
    yield from content.chunks.values()
