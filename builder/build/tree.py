"""Stage `tree`: the packages of an image laid together into one /usr."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar

from builder.assembly.presets import UnitRules
from builder.assembly.rules import ExtraFile, TreeRules, assemble
from builder.assembly.tree import PackageImage
from builder.pipeline.artifact import Artifact, Part
from builder.pipeline.stage import Stage, Work

# names in the artifact
TREE, SIDE, REPORT = "tree", "side", "report.json"


@dataclass(frozen=True)
class Shipped:
    """A package of the image, with its row in the image's list of packages."""

    cpv: str
    image: Part
    licences: tuple[str, ...]
    slot: str
    description: str
    homepage: str


@dataclass(frozen=True)
class File:
    """A file that the manifest adds; `source` is its name in the artifact of the manifest's files."""

    path: str
    mode: int
    text: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class Tree(Stage):
    """out/tree is the image's root, out/side what does not ship, out/report.json the owner of each path."""

    name: ClassVar[str] = "tree"

    id: str
    version: str
    epoch: int
    packages: tuple[Shipped, ...]
    # os-release(5), in order
    release: tuple[tuple[str, str], ...]
    files: tuple[File, ...]
    sources: Artifact | None
    units: UnitRules
    licences: Artifact
    # settings of colvert-update, and the public keys (name -> PEM) whose updates the image takes
    update: Mapping[str, str]
    keys: Mapping[str, bytes]

    @property
    def label(self) -> str:
        return f"{self.id} {self.version}"

    def run(self, work: Work) -> None:
        images = [
            PackageImage(
                one.cpv,
                work.path(one.image),
                one.licences,
                one.slot,
                one.description,
                one.homepage,
                modes=work.modes(one.image),
            )
            for one in self.packages
        ]
        report = assemble(
            images, work.out / TREE, self._rules(work), side=work.out / SIDE, sdk_root=work.sdk.root
        )
        (work.out / REPORT).write_text(json.dumps(asdict(report), indent=1, sort_keys=True))

    def _rules(self, work: Work) -> TreeRules:
        texts = work.path(self.licences)
        return TreeRules(
            os_release=dict(self.release),
            epoch=self.epoch,
            files=tuple(self._file(one, work) for one in self.files),
            units=self.units,
            licence_texts={path.name: path for path in sorted(texts.iterdir())},
            update=self.update,
            ring=self.keys,
        )

    def _file(self, file: File, work: Work) -> ExtraFile:
        source = None
        if file.source is not None:
            assert self.sources is not None
            source = work.path(self.sources) / file.source
        return ExtraFile(file.path, source, file.text, mode=file.mode)
