"""Stage `initrd`: the initial file system, made of the image's own files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from builder.assembly.initrd import make_initrd
from builder.pipeline.artifact import Part
from builder.pipeline.stage import Stage, Work

INITRD = "initrd"


@dataclass(frozen=True)
class Initrd(Stage):
    """out/initrd. Its clock is the packages', so that an update changes only what really differs."""

    name: ClassVar[str] = "initrd"

    tree: Part
    side: Part
    id: str
    version: str
    epoch: int

    @property
    def label(self) -> str:
        return f"{self.id} {self.version}"

    def run(self, work: Work) -> None:
        tree = work.checkout(self.tree, work.scratch / "tree")
        side = work.checkout(self.side, work.scratch / "side")
        make_initrd(tree, side, work.out / INITRD, sdk_root=work.sdk.root, epoch=self.epoch)
