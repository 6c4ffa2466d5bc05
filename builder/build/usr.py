"""Stage `usr`: the tree as a read-only file system with its dm-verity hash tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from builder.pipeline.artifact import Part
from builder.pipeline.stage import Stage, Work
from builder.tools.erofs import ErofsSettings, make_erofs
from builder.tools.verity import make_verity

# names in the artifact
USR, VERITY, ROOT_HASH = "usr.raw", "usr.verity", "roothash"


@dataclass(frozen=True)
class Usr(Stage):
    """out/usr.raw, out/usr.verity and out/roothash."""

    name: ClassVar[str] = "usr"

    tree: Part
    id: str
    version: str
    epoch: int
    # compressor and level, such as zstd,3
    compression: str
    cluster_size: int
    # bytes of the partitions
    usr_size: int
    verity_size: int

    @property
    def label(self) -> str:
        return f"{self.id} {self.version}"

    def run(self, work: Work) -> None:
        work.phase("erofs")
        tree = work.checkout(self.tree, work.scratch / "tree")
        algorithm, _, level = self.compression.partition(",")
        make_erofs(
            tree / "usr",
            work.out / USR,
            sdk_root=work.sdk.root,
            epoch=self.epoch,
            settings=ErofsSettings(algorithm, int(level) if level else None, self.cluster_size),
            limit=self.usr_size,
        )
        work.phase("verity")
        verity = make_verity(
            work.out / USR,
            work.out / VERITY,
            sdk_root=work.sdk.root,
            identity=self.id,
            version=self.version,
            limit=self.verity_size,
        )
        (work.out / ROOT_HASH).write_text(verity.root_hash)
