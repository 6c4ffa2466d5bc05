"""A partition table is believed only where firmware and kernel read the same one: UEFI 2.10, section 5."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from builder.errors import Code, ColvertError
from builder.formats.chunk import MemoryChunk
from builder.formats.content import Content
from builder.formats.gpt import MIB, SECTOR, TAIL
from builder.formats.sparse import CHUNK
from builder.formats.table import check, partitions
from tests.unit.disks import OEM, SIZE, content

Change = Callable[[bytearray], None]
BACKUP = CHUNK - TAIL
LAST = CHUNK - SECTOR


def disk_of_ours() -> Content:
    """With all its data in partitions."""
    disk = content()
    return replace(disk, chunks={at: one for at, one in disk.chunks.items() if at != 3000 * MIB})


def changed(at: int, change: Change) -> Content:
    """The disk with one chunk changed in place."""
    disk = disk_of_ours()
    data = bytearray(disk.chunks[at].raw() if at in disk.chunks else bytes(CHUNK))
    change(data)
    return replace(disk, chunks=dict(sorted({**disk.chunks, at: MemoryChunk(bytes(data))}.items())))


def signed(data: bytearray, header: int, size: int = 92) -> None:
    struct.pack_into("<I", data, header + 16, 0)
    struct.pack_into("<I", data, header + 16, zlib.crc32(data[header : header + size]))


def field(header: int, at: int, kind: str, value: int) -> Change:
    """A field of a header, the checksum put right."""

    def change(data: bytearray) -> None:
        struct.pack_into(f"<{kind}", data, header + at, value)
        signed(data, header)

    return change


def poke(at: int, value: bytes) -> Change:
    def change(data: bytearray) -> None:
        data[at : at + len(value)] = value

    return change


def refused(disk: Content) -> str:
    with pytest.raises(ColvertError) as caught:
        check(disk)
    assert caught.value.code is Code.IMAGE_INVALID
    return caught.value.what


def entry(number: int, change: Change) -> Change:
    """An entry of the first table, all checksums put right."""

    def whole(data: bytearray) -> None:
        place = slice(2 * SECTOR + number * 128, 2 * SECTOR + (number + 1) * 128)
        one = data[place]
        change(one)
        data[place] = one
        struct.pack_into("<I", data, SECTOR + 88, zlib.crc32(data[2 * SECTOR : 34 * SECTOR]))
        signed(data, SECTOR)

    return whole


def test_a_disk_as_it_is_made() -> None:
    check(disk_of_ours())


@pytest.mark.parametrize(
    ("at", "kind", "value"),
    [
        (8, "I", 0x20000), (12, "I", 96), (20, "I", 1), (24, "Q", 7), (32, "Q", SIZE // SECTOR - 2),
        (40, "Q", 33), (48, "Q", SIZE // SECTOR - 33), (72, "Q", 3), (80, "I", 64), (84, "I", 256),
        (92, "I", 1), (508, "I", 1),
    ],
)  # fmt: skip
def test_a_header_that_others_do_not_take(at: int, kind: str, value: int) -> None:
    """Each with a checksum that is right over 92 bytes."""
    disk = changed(0, field(SECTOR, at, kind, value))
    assert "partition table is damaged" in refused(disk)
    with pytest.raises(ColvertError):
        partitions(disk)


def test_a_header_whose_checksum_is_over_what_it_says() -> None:
    def change(data: bytearray) -> None:
        struct.pack_into("<I", data, SECTOR + 12, 96)
        signed(data, SECTOR, 96)

    assert "partition table is damaged" in refused(changed(0, change))


def test_the_first_sector_is_the_protective_one() -> None:
    """A kernel takes a DOS table where the GPT's one partition is not in it."""
    dos = struct.pack("<B3sB3sII", 0x80, b"\0\2\0", 0xEF, b"\xff" * 3, 2048, 1 << 20)
    second = bytes(16) + dos
    for at, value in ((446, dos), (446 + 16, dos), (446, second), (440, b"\1"), (450, b"\xef"),
                      (458, b"\1"), (454, b"\2"), (510, b"\0\0")):  # fmt: skip
        assert "protective MBR" in refused(changed(0, poke(at, value)))


def test_the_second_table_agrees_with_the_first() -> None:
    last = SIZE - CHUNK
    for change in (
        poke(BACKUP + 56, b"!"),
        poke(LAST, b"XFI PART"),
        poke(LAST + 92, b"!"),
        field(LAST, 24, "Q", 1),
        field(LAST, 56, "Q", 1),
    ):
        assert "backup partition table" in refused(changed(last, change))
    assert "backup partition table" in refused(changed(0, entry(1, poke(56, b"X"))))


def test_a_table_of_another_size_of_disk() -> None:
    """Whoever has the larger disk may read what lies at its end."""
    disk = disk_of_ours()
    assert "partition table is damaged" in refused(replace(disk, size=SIZE + MIB))
    assert "sector size" in refused(replace(disk, size=SIZE + 1))


@pytest.mark.parametrize("at", [34 * SECTOR, MIB - 1, 2000 * MIB, OEM[0] + OEM[1], SIZE - TAIL - 1])
def test_data_outside_of_all_partitions(at: int) -> None:
    disk = changed(at - at % CHUNK, poke(at % CHUNK, b"!"))
    assert f"data outside the partitions at byte {at - at % CHUNK}" in refused(disk)


def test_partitions_over_each_other_or_over_the_tables() -> None:
    def place(start: int, last: int) -> Content:
        one, end = disk_of_ours(), SIZE - CHUNK
        change = entry(1, lambda entry: struct.pack_into("<QQ", entry, 32, start // SECTOR, last // SECTOR))
        first = bytearray(one.chunks[0].raw())
        change(first)
        tail = bytearray(one.chunks[end].raw())
        tail[BACKUP:LAST] = first[2 * SECTOR : 34 * SECTOR]
        tail[LAST + 88 : LAST + 92] = first[SECTOR + 88 : SECTOR + 92]
        signed(tail, LAST)
        rows = {**one.chunks, 0: MemoryChunk(bytes(first)), end: MemoryChunk(bytes(tail))}
        return replace(one, chunks=dict(sorted(rows.items())))

    assert "overlap" in refused(place(1000 * MIB, 7000 * MIB))
    assert "exceeds the disk" in refused(place(SECTOR, MIB - 1))
    assert "exceeds the disk" in refused(place(7000 * MIB, SIZE - TAIL))
    check(place(3000 * MIB, SIZE - TAIL - 1))
