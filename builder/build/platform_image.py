"""Stage `image`: the files of one platform, made of the disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from builder.arch import ARCHITECTURES
from builder.pipeline.artifact import Artifact, Part
from builder.pipeline.stage import Stage, Work
from builder.platforms import PLATFORMS, Context, Need, Settings


@dataclass(frozen=True)
class PlatformImage(Stage):
    """The files of one platform. Its code is the platform's module, beside this one."""

    name: ClassVar[str] = "image"

    architecture: str
    platform: str
    # what the platform needs, by its names
    given: Mapping[Need, Part | Artifact]
    id: str
    title: str
    version: str
    epoch: int
    settings: Settings

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
        given = {need: work.path(what) for need, what in self.given.items()}
        PLATFORMS[self.platform].emit(given, context, work.out)
