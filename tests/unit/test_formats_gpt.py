"""The disk: every sector where docs/concepts.md promises it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest

from builder.arch import X86_64
from builder.errors import Code, ColvertError
from builder.formats.gpt import MIB, NO_GUID, SECTOR, Contents, Sizes, layout, place, script
from builder.formats.sparse import copy_into

GOLDEN = Path(__file__).parent / "golden" / "disk.sfdisk"


def contents(folder: Path, version: str = "1.2.3", usr_size: int = 4096) -> Contents:
    """A disk of small files; identities as a root hash would give them."""
    paths = {name: folder / name for name in ("esp", "usr", "verity", "oem")}
    for path in paths.values():
        path.write_bytes(b"x" * 4096)
    with paths["usr"].open("wb") as stream:
        stream.truncate(usr_size)
    halves = (UUID("00112233445566778899aabbccddeeff"), UUID("ffeeddccbbaa99887766554433221100"))
    return Contents(
        "colvert",
        version,
        paths["esp"],
        paths["usr"],
        paths["verity"],
        *halves,
        paths["oem"],
        architecture=X86_64,
    )


def test_table_is_the_promised_one(tmp_path: Path) -> None:
    made = script(place(layout(contents(tmp_path))), NO_GUID)
    assert made == GOLDEN.read_text()


def test_partitions_follow_each_other_at_whole_mebibytes(tmp_path: Path) -> None:
    placed = place(layout(contents(tmp_path)))
    assert placed[0].start == MIB
    for before, after in pairwise(placed):
        assert after.start == before.start + before.partition.size
        assert after.start % MIB == 0
    end = placed[-1].start + placed[-1].partition.size
    assert end == (1 + 1024 + 1 + 2 * (2048 + 32 + 1) + 256) * MIB
    assert (8 << 30) - end > 2 << 30, "ROOT has room on the smallest disk"


def test_slots_are_found_by_content(tmp_path: Path) -> None:
    partitions = layout(contents(tmp_path))
    disk = contents(tmp_path)
    assert (partitions[2].uuid, partitions[3].uuid) == (disk.usr_uuid, disk.verity_uuid)
    assert len({partition.uuid for partition in partitions}) == len(partitions)


def test_a_label_that_gpt_has_no_room_for(tmp_path: Path) -> None:
    with pytest.raises(ColvertError) as caught:
        place(layout(contents(tmp_path, version="2026.11.22.1234")))
    assert caught.value.code is Code.MANIFEST_INVALID


def test_content_larger_than_its_partition(tmp_path: Path) -> None:
    disk = contents(tmp_path, usr_size=(2 << 30) + SECTOR)
    with pytest.raises(ColvertError) as caught:
        place(layout(disk))
    assert caught.value.code is Code.TOO_LARGE


def test_sizes_of_a_manifest_move_what_follows(tmp_path: Path) -> None:
    disk = contents(tmp_path)
    larger = Contents(**{**vars(disk), "sizes": Sizes(esp=2 << 30)})
    assert place(layout(larger))[1].start == MIB + (2 << 30)


def test_zeros_are_not_written(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.write_bytes(bytes(8 * MIB))
    with out.open("w+b") as stream:
        copy_into(source, stream, 0)
    assert out.stat().st_size == 0
