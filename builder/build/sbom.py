"""SBOM: plan and tree -> what is in the image and where it came from, in two formats."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import builder
from builder.build.tree import Trees, licence_texts
from builder.describe import cyclonedx, licences, sbom, spdx
from builder.describe.sbom import Bill, Package, Source
from builder.packages.plan import Node
from builder.pipeline.key import digest_file, digest_value
from builder.pipeline.stage import Work
from builder.pipeline.store import Entry

TOOL = f"colvert-{builder.__version__}"


@dataclass
class Sboms(Trees):
    """The bill of the tree, made when it is first asked for."""

    @cached_property
    def bill(self) -> tuple[Package, ...]:
        """Every package of the plan, sorted; those of the image are marked."""
        shipped = set(self.shipped)
        return tuple(self._package(node, shipped) for _, node in sorted(self.session.plan.nodes.items()))

    def _package(self, node: Node, shipped: set[str]) -> Package:
        pinned = self.session.builder.sources(node)
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
                Source(item.name, item.size, item.blake2b, item.sha512, item.uris) for item in pinned
            ),
            runtime=tuple(sorted({*node.needs("run"), *node.needs("post")})),
            build=tuple(sorted(node.needs("build"))),
            shipped=node.cpv in shipped,
        )

    @property
    def _texts(self) -> dict[str, Path]:
        """The texts of the licences that are not SPDX's own."""
        texts = licence_texts(self.session.settings)
        needed = {name for package in self.bill for name in licences.extracted(package.licence)}
        return {name: texts[name] for name in sorted(needed & texts.keys())}

    @cached_property
    def sbom(self) -> Entry:
        """out/ID-VERSION.spdx.json and out/ID-VERSION.cdx.json"""
        inputs = {
            "tree": self.tree.digest,
            "packages": digest_value([asdict(package) for package in self.bill]),
            "texts": digest_value({name: digest_file(path) for name, path in self._texts.items()}),
            "manifest": self.session.loaded.manifest.part_json("id", "name"),
            "epoch": str(self.session.loaded.epoch),
            "tool": TOOL,
            "release": self.code_of("release"),
        }
        return self.stage("sbom", inputs, (self.tree,), self._make_sbom)

    def _make_sbom(self, work: Work) -> None:
        loaded = self.session.loaded
        owners = json.loads((self.tree.out / "report.json").read_text())["owners"]
        bill = Bill(
            id=loaded.manifest.id,
            name=loaded.manifest.name,
            version=loaded.version,
            epoch=loaded.epoch,
            tool=TOOL,
            packages=self.bill,
            files=sbom.read_files(self.tree.out / "tree", owners),
            texts={name: path.read_text() for name, path in self._texts.items()},
        )
        stem = f"{loaded.manifest.id}-{loaded.version}"
        for suffix, document in (("spdx", spdx.make_spdx(bill)), ("cdx", cyclonedx.make_cyclonedx(bill))):
            (work.out / f"{stem}.{suffix}.json").write_bytes(sbom.serialize(document))
