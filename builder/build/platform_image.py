"""Stage `image`: the files of one platform, made of the disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from builder.arch import ARCHITECTURES
from builder.formats.content import Packed
from builder.pipeline.artifact import Artifact, Part
from builder.pipeline.stage import Stage, Work
from builder.platforms import PLATFORMS, Context


@dataclass(frozen=True)
class PlatformImage(Stage):
    """The files of one platform. Its code is the platform's module, beside this one."""

    name: ClassVar[str] = "image"

    architecture: str
    platform: str
    disk: Part
    packed: Artifact | None
    id: str
    title: str
    version: str
    epoch: int
    settings: Mapping[str, object]

    @property
    def label(self) -> str:
        return f"{self.platform} {self.id} {self.version}"

    @property
    def modules(self) -> tuple[str, ...]:
        return (type(self).__module__, PLATFORMS[self.platform].module)

    def run(self, work: Work) -> None:
        context = Context(
            architecture=ARCHITECTURES[self.architecture],
            id=self.id,
            name=self.title,
            version=self.version,
            sdk_root=work.sdk.root,
            epoch=self.epoch,
            settings=self.settings,
        )
        packed = None
        if self.packed is not None:
            place = work.path(self.packed)
            packed = Packed(place / "data", place / "index")
        PLATFORMS[self.platform].emit(work.path(self.disk), context, work.out, packed)
