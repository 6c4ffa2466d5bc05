"""The usr image, a read-only erofs file system made from a directory.

mkfs.erofs reads a tar stream rather than the directory: the order of inodes, owners, modes
that a sandboxed program could not read, and hard links then come from the stream alone.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

from builder.formats.tar import write_tar
from builder.tools.workspace import bench

# Names of erofs UUIDs are made below this one (itself made from the project's name).
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "erofs.colvert")


@dataclass(frozen=True)
class ErofsSettings:
    """How a usr image is compressed; docs/decisions/usr-compression.md has the figures."""

    algorithm: str = "zstd"
    level: int | None = 3
    cluster: int = 65536

    def options(self) -> list[str]:
        """The options of mkfs.erofs that stand for these settings."""
        if self.algorithm == "none":
            return []
        level = "" if self.level is None else f",level={self.level}"
        return [f"-z{self.algorithm}{level}", f"-C{self.cluster}"]


@dataclass(frozen=True)
class Erofs:
    """A written erofs image."""

    path: Path
    uuid: uuid.UUID
    size: int


def make_erofs(
    tree: Path,
    out: Path,
    *,
    sdk_root: Path,
    epoch: int,
    label: str = "usr",
    settings: ErofsSettings | None = None,
    limit: int | None = None,
) -> Erofs:
    """Write the directory `tree` (it becomes the root of the file system) as erofs to `out`."""
    chosen = settings or ErofsSettings()
    with bench(out, sdk_root, {}) as table:
        stream = write_tar(tree, table.work / "tree.tar", epoch=epoch)
        identity = uuid.uuid5(NAMESPACE, f"{stream.sha256} {label} {epoch} {' '.join(chosen.options())}")
        table.run(
            "mkfs.erofs", "--quiet", f"-T{epoch}", "--all-time", "--all-root", f"-U{identity}", f"-L{label}",
            *chosen.options(), "--tar=f", table.target("image"), table.target("tree.tar"),
        )  # fmt: skip
        hint = "remove packages from the manifest, or use a higher usr.compression"
        size = table.measure("image", "the usr image", limit, hint)
        return Erofs(table.take("image", out), identity, size)
