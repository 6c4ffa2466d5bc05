"""Formats: a disk as qcow2, the file format of QEMU's own virtual disks."""

from __future__ import annotations

from pathlib import Path

from builder.formats.tools import bench


def make_qcow2(disk: Path, out: Path, *, sdk_root: Path) -> Path:
    """Write `disk` as compressed qcow2 to `out`.

    qemu-img writes compressed clusters one after the other in the disk's order unless told
    otherwise (-W), and the format has neither time nor random number: the same disk gives the
    same file.
    """
    with bench(out, sdk_root, {"disk": disk}) as table:
        options = "compression_type=zstd,cluster_size=65536"
        image = table.target("image")
        table.run("qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", "-c", "-o", options,
                  table.source("disk"), image)  # fmt: skip
        return table.take("image", out)
