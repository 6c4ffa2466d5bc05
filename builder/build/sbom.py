"""Stage `sbom`: the software bill of materials as SPDX and CycloneDX."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import builder
from builder.build.tree import REPORT, TREE
from builder.describe import cyclonedx, licences, sbom, spdx
from builder.describe.sbom import Bill, Package, Source
from builder.packages.fetch import Distfile
from builder.packages.plan import Node
from builder.pipeline.artifact import Artifact
from builder.pipeline.stage import Stage, Work
from builder.texts import public

TOOL = f"colvert-{builder.__version__}"


@dataclass(frozen=True)
class Sbom(Stage):
    """out/ID-VERSION.spdx.json and out/ID-VERSION.cdx.json"""

    name: ClassVar[str] = "sbom"

    tree: Artifact
    # every package of the plan; those of the image are marked
    packages: tuple[Package, ...]
    # texts of the licences that are not SPDX's own, by Gentoo's name
    texts: Artifact
    id: str
    title: str
    version: str
    epoch: int

    @property
    def label(self) -> str:
        return f"{self.id} {self.version}"

    def run(self, work: Work) -> None:
        made, texts = work.path(self.tree), work.path(self.texts)
        owners = json.loads((made / REPORT).read_text())["owners"]
        bill = Bill(
            id=self.id,
            name=self.title,
            version=self.version,
            epoch=self.epoch,
            tool=TOOL,
            packages=self.packages,
            files=sbom.read_files(made / TREE, owners),
            texts={path.name: path.read_text() for path in sorted(texts.iterdir())},
        )
        stem = f"{self.id}-{self.version}"
        for suffix, document in (("spdx", spdx.make_spdx(bill)), ("cdx", cyclonedx.make_cyclonedx(bill))):
            (work.out / f"{stem}.{suffix}.json").write_bytes(sbom.serialize(document))


def describe(node: Node, pinned: Sequence[Distfile], shipped: Iterable[str]) -> Package:
    """A package of the plan as the SBOM has it."""
    return Package(
        cpv=node.cpv,
        category=node.category,
        name=node.name,
        version=node.version,
        slot=node.slot,
        overlay=node.repository,
        ebuild=node.ebuild,
        use=node.use,
        description=node.description,
        homepage=node.homepage,
        licence=licences.parse(node.licence),
        sources=tuple(
            Source(item.name, item.size, item.blake2b, item.sha512, tuple(map(public, item.uris)))
            for item in pinned
        ),
        runtime=tuple(sorted({*node.needs("run"), *node.needs("post")})),
        build=tuple(sorted(node.needs("build"))),
        shipped=node.cpv in set(shipped),
    )


def extracted(packages: Iterable[Package]) -> set[str]:
    """The licences whose texts an SBOM has to hold."""
    return {name for package in packages for name in licences.extracted(package.licence)}
