"""What a manifest takes against the tools that get it: their limits are the model's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from builder.errors import ColvertError
from builder.manifest.model import COMPRESSORS, Disk, Usr
from builder.quantities import MIB
from builder.sandbox.sdk import Sdk
from builder.tools.erofs import ErofsSettings, make_erofs
from builder.tools.esp import make_fat
from builder.tools.oem import make_oem
from tests.build.places import open_place

LEVELS = [(name, level) for name in COMPRESSORS for level in (0, 1, 9, 10, 12, 13, 22, 23, 99, 100, 109, 110)]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with open_place() as root:
        (root / "tree").mkdir()
        (root / "tree/a").write_bytes(b"hello" * 50_000)
        yield root


@pytest.mark.parametrize(("name", "level"), LEVELS)
def test_levels_are_those_of_mkfs(place: Path, sdk: Sdk, name: str, level: int) -> None:
    try:
        Usr(compression=f"{name},{level}")
        taken = True
    except ValidationError:
        taken = False
    if not COMPRESSORS[name]:
        assert not taken
        return
    settings = ErofsSettings(name, level)
    try:
        make_erofs(place / "tree", place / "out", sdk_root=sdk.root, epoch=0, settings=settings)
        made = True
    except ColvertError:
        made = False
    assert taken == made


@pytest.mark.parametrize("mib", [16, 17, 31, 256])
def test_an_oem_partition_can_be_made(place: Path, sdk: Sdk, mib: int) -> None:
    size = Disk(oem_size=mib * MIB).oem_size
    make_oem(place / "tree", place / "out", sdk_root=sdk.root, size=size, epoch=0, identity="x")


def test_the_smallest_esp_is_fat32(place: Path, sdk: Sdk) -> None:
    size = Disk(esp_size=34 * MIB).esp_size
    made = make_fat(
        {"a": place / "tree/a"},
        place / "esp",
        sdk_root=sdk.root,
        size=size,
        epoch=0,
        label="ESP",
        identity="x",
    )
    head = made.read_bytes()[:512]

    def number(at: int, length: int) -> int:
        return int.from_bytes(head[at : at + length], "little")

    # Microsoft's FAT specification: what counts is the number of clusters
    data = number(32, 4) - number(14, 2) - number(16, 1) * number(36, 4)
    assert data // number(13, 1) >= 65525
