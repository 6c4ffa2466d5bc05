"""The raw disk: its partition table written by sfdisk and read back.

The places are computed in `formats/gpt.py`; docs/decisions/disk-table.md says why not systemd-repart.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from pathlib import Path

from builder.errors import Code, ColvertError
from builder.formats.gpt import DISK_SIZE, MIB, NO_GUID, SECTOR, TAIL, Contents, Placed, layout, place, script
from builder.formats.sparse import copy_into
from builder.tools.workspace import bench


def make_disk(disk: Contents, out: Path, *, sdk_root: Path, size: int = DISK_SIZE) -> Path:
    """Write the raw disk, sparse, and check the table by reading it back."""
    placed = place(layout(disk))
    end = placed[-1].start + placed[-1].partition.size + TAIL
    if end > size:
        raise ColvertError(
            Code.TOO_LARGE, f"the partitions need {end / MIB:.0f} MiB, but the disk has {size / MIB:.0f} MiB"
        )
    with bench(out, sdk_root, {}) as table:
        raw = table.blank("disk", size)
        text = script(placed, NO_GUID)
        table.run(
            "sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", table.target("disk"), stdin=text.encode()
        )
        _verify(table.run("sfdisk", "--json", table.target("disk")).stdout, placed)
        with raw.open("r+b") as stream:
            for item in placed:
                if item.partition.content is not None:
                    copy_into(item.partition.content, stream, item.start)
        return table.take("disk", out)


def _verify(told: str, placed: Sequence[Placed]) -> None:
    """Compare the table read back with what was wanted."""
    found = [
        (entry["start"] * SECTOR, entry["size"] * SECTOR, uuid.UUID(entry["type"]), uuid.UUID(entry["uuid"]),
         entry.get("name", ""), entry.get("attrs", ""))
        for entry in json.loads(told)["partitiontable"]["partitions"]
    ]  # fmt: skip
    wanted = [
        (item.start, one.size, one.type, one.uuid, one.label, one.attributes)
        for item in placed
        for one in [item.partition]
    ]
    if found != wanted:
        raise ColvertError(Code.IMAGE_INVALID, "sfdisk wrote another partition table than requested",
                           detail=[f"wanted {wanted}", f"found {found}"])  # fmt: skip
