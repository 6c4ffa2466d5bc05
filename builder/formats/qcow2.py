"""Disks as qcow2, the file format of QEMU's own virtual disks.

Every number here is from QEMU's docs/interop/qcow2.txt. The file is one that QEMU 1.7 reads:
version 3, deflate, no feature bits.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from builder.formats.chunk import Chunk, Made, Piece
from builder.formats.content import Content, padding
from builder.formats.deflate import LAST_BLOCK
from builder.formats.sparse import CHUNK

# a cluster is a chunk: "Header", bytes 20-23, the smallest that QEMU itself takes by default
CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
HEADER = ">4sIQIIQIIQQIIQQQQII8x"
HEADER_LENGTH = 104
REFCOUNT_ORDER = 4  # 16 bits for each cluster
REFCOUNTS = CLUSTER // 2
ENTRIES = CLUSTER // 8
# "L2 table entry": bit 63, exactly one reference; bit 62, compressed
COPIED = 1 << 63
COMPRESSED = 1 << 62
# "Compressed Clusters Descriptor": x = 62 - (cluster_bits - 8)
SECTORS_SHIFT = 62 - (CLUSTER_BITS - 8)
SECTOR = 512


class _Layout:
    """Where everything goes: header, L1, refcounts, L2, then plain clusters, then compressed ones."""

    def __init__(self, content: Content) -> None:
        self.size = content.size
        self.plain: dict[int, Chunk] = {}
        self.packed: dict[int, Chunk] = {}
        lengths: dict[int, int] = {}
        for offset, chunk in content.chunks.items():
            size = chunk.deflated_size + len(LAST_BLOCK)
            # what does not shrink is read faster as it is
            (self.packed if size < CLUSTER else self.plain)[offset] = chunk
            lengths[offset] = size
        self.l1_entries = max(1, -(-content.size // (ENTRIES * CLUSTER)))
        l1_clusters = -(-self.l1_entries * 8 // CLUSTER)
        self.l2 = sorted({offset // CLUSTER // ENTRIES for offset in content.chunks})
        bytes_packed = sum(lengths[offset] for offset in self.packed)
        data = len(self.plain) + -(-bytes_packed // CLUSTER)
        self.blocks, self.table = _refcount_clusters(1 + l1_clusters + len(self.l2) + data)
        self.l1_at = CLUSTER
        self.table_at = self.l1_at + l1_clusters * CLUSTER
        self.blocks_at = self.table_at + self.table * CLUSTER
        self.l2_at = self.blocks_at + self.blocks * CLUSTER
        self.plain_at = self.l2_at + len(self.l2) * CLUSTER
        self.packed_at = self.plain_at + len(self.plain) * CLUSTER
        self.entries = {
            offset: COPIED | (self.plain_at + number * CLUSTER) for number, offset in enumerate(self.plain)
        }
        self.counts = [1] * (self.packed_at // CLUSTER) + [0] * -(-bytes_packed // CLUSTER)
        place = self.packed_at
        for offset in self.packed:
            self._compressed(offset, place, lengths[offset])
            place += lengths[offset]

    def _compressed(self, offset: int, place: int, size: int) -> None:
        last = place + size - 1
        sectors = last // SECTOR - place // SECTOR
        self.entries[offset] = COMPRESSED | sectors << SECTORS_SHIFT | place
        for cluster in range(place // CLUSTER, last // CLUSTER + 1):
            self.counts[cluster] += 1

    def header(self) -> bytes:
        # no backing file, encryption or snapshots; no feature bits; the end of the extensions
        return struct.pack(
            HEADER, b"QFI\xfb", 3, 0, 0, CLUSTER_BITS, self.size, 0, self.l1_entries, self.l1_at,
            self.table_at, self.table, 0, 0, 0, 0, 0, REFCOUNT_ORDER, HEADER_LENGTH,
        )  # fmt: skip

    def l1(self) -> bytes:
        table = [0] * self.l1_entries
        for number, index in enumerate(self.l2):
            table[index] = COPIED | (self.l2_at + number * CLUSTER)
        return struct.pack(f">{len(table)}Q", *table)

    def l2_tables(self) -> Iterator[bytes]:
        tables = {index: [0] * ENTRIES for index in self.l2}
        for offset, entry in self.entries.items():
            tables[offset // CLUSTER // ENTRIES][offset // CLUSTER % ENTRIES] = entry
        for table in tables.values():
            yield struct.pack(f">{ENTRIES}Q", *table)

    def refcount_table(self) -> bytes:
        places = [self.blocks_at + number * CLUSTER for number in range(self.blocks)]
        return struct.pack(f">{len(places)}Q", *places)


def _refcount_clusters(others: int) -> tuple[int, int]:
    """How many refcount blocks, and clusters of their table, count `others` clusters and themselves."""
    blocks = table = 1
    while True:
        needed = -(-(others + blocks + table) // REFCOUNTS)
        if needed <= blocks and -(-blocks * 8 // CLUSTER) <= table:
            return blocks, table
        blocks = max(needed, blocks)
        table = -(-blocks * 8 // CLUSTER)


@dataclass(frozen=True)
class _Compressed(Made):
    """A cluster in its compressed form."""

    chunk: Chunk

    def __len__(self) -> int:
        return self.chunk.deflated_size + len(LAST_BLOCK)

    def raw(self) -> bytes:
        return self.chunk.deflated() + LAST_BLOCK


def qcow2(content: Content) -> Iterator[Piece]:
    """The file that is `content` as qcow2."""
    assert CLUSTER == CHUNK
    layout = _Layout(content)
    for part in (layout.header(), layout.l1(), layout.refcount_table()):
        yield part + padding(len(part), CLUSTER)
    counts = struct.pack(f">{len(layout.counts)}H", *layout.counts)
    yield counts + padding(len(counts), layout.blocks * CLUSTER)
    yield from layout.l2_tables()
    yield from layout.plain.values()
    clusters = [_Compressed(chunk) for chunk in layout.packed.values()]
    yield from clusters
    yield padding(sum(map(len, clusters)), CLUSTER)
