"""The OEM partition, an ext4 file system with what differs between platforms."""

from __future__ import annotations

import uuid
from pathlib import Path

from builder.formats.tar import write_tar
from builder.tools.workspace import bench

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "oem.colvert")


def make_oem(
    content: Path | None, out: Path, *, sdk_root: Path, size: int, epoch: int, identity: str
) -> Path:
    """Write an OEM partition of `size` bytes with the directory `content`, or an empty one."""
    fs_uuid = uuid.uuid5(NAMESPACE, f"fs {identity}")
    seed = uuid.uuid5(NAMESPACE, f"seed {identity}")
    with bench(out, sdk_root, {}) as table:
        table.blank("image", size)
        if content:
            # a tar stream and not the directory: mke2fs would copy the time at which an inode changed
            write_tar(content, table.work / "content.tar", epoch=epoch)
        table.run(
            "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-L", "OEM", "-U", str(fs_uuid),
            "-E", f"hash_seed={seed},root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1",
            "-O", "^resize_inode", "-J", "size=4",
            *(["-d", table.target("content.tar")] if content else []),
            table.target("image"),
            env={"SOURCE_DATE_EPOCH": str(epoch), "MKE2FS_DEVICE_SECTSIZE": "512"},
        )  # fmt: skip
        return table.take("image", out)
