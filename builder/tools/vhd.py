"""Disks as VHD, Microsoft's virtual disk, of the kind that grows.

qemu-img writes it; what it takes from the clock and from a random number is then set to what
derives from the content. Offsets are those of "Virtual Hard Disk Image Format Specification"
1.0, section "Hard Disk Footer Format".
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import BinaryIO

from builder.errors import Code, ColvertError
from builder.formats.content import Content
from builder.tools.workspace import bench

FOOTER = 512
COOKIE = b"conectix"
TIME, CHECKSUM, UNIQUE_ID = slice(24, 28), slice(64, 68), slice(68, 84)
# "Time Stamp": seconds since this moment, 2000-01-01 00:00 UTC
YEAR_2000 = 946_684_800
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "vhd.colvert")


def make_vhd(content: Content, out: Path, *, sdk_root: Path, epoch: int) -> Path:
    """Write the disk as dynamic VHD of exactly its size."""
    with bench(out, sdk_root, {}) as table:
        raw = table.blank("disk", content.size)
        with raw.open("r+b") as stream:
            for offset, chunk in content.chunks.items():
                stream.seek(offset)
                stream.write(chunk.raw())
        # without force_size the size would be rounded up to what cylinders and heads can say
        options = "subformat=dynamic,force_size=on"
        table.run("qemu-img", "convert", "-q", "-f", "raw", "-O", "vpc", "-o", options,
                  table.target("disk"), table.target("image"))  # fmt: skip
        image = table.take("image", out)
    unique = uuid.uuid5(NAMESPACE, content.id)
    with image.open("r+b") as file:
        end = file.seek(0, 2)
        # "Dynamic Disk Header Format": a copy of the footer stands at the beginning
        for place in (0, end - FOOTER):
            _settle(file, place, unique, epoch)
    return image


def _settle(file: BinaryIO, place: int, unique: uuid.UUID, epoch: int) -> None:
    """Give one footer the time and id wanted, and the checksum that follows."""
    file.seek(place)
    footer = bytearray(file.read(FOOTER))
    if not footer.startswith(COOKIE):
        raise ColvertError(Code.IMAGE_INVALID, "qemu-img wrote a VHD without a footer")
    footer[TIME] = max(0, epoch - YEAR_2000).to_bytes(4, "big")
    footer[UNIQUE_ID] = unique.bytes
    footer[CHECKSUM] = bytes(4)
    # "Checksum": the complement of the sum of all bytes without the sum itself
    footer[CHECKSUM] = (~sum(footer) & 0xFFFFFFFF).to_bytes(4, "big")
    file.seek(place)
    file.write(footer)
