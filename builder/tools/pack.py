"""The data of a disk, compressed once for all formats, by Python in the SDK (`packer.py`)."""

from __future__ import annotations

from pathlib import Path

from builder.formats.content import Packed
from builder.tools.workspace import bench

DATA = ("packer.py",)
PACKER = Path(__file__).with_name("packer.py")


def pack(disk: Path, out: Path, *, sdk_root: Path) -> Packed:
    """Compress all data of `disk` to the files `data` and `index` in the directory `out`."""
    made = packed_in(out)
    with bench(made.data, sdk_root, {"disk": disk}) as table:
        words = (table.source("disk"), table.target("data"), table.target("index"))
        # the checkout may be closed to the id that sandboxed programs run as
        table.run("python3", "-I", "-", *words, stdin=PACKER.read_bytes())
        table.take("index", made.index)
        table.take("data", made.data)
    return made


def packed_in(folder: Path) -> Packed:
    """What `pack` left in a directory."""
    return Packed(folder / "data", folder / "index")
