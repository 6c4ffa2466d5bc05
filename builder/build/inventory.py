"""Inventory: tree, usr image and UKI -> what the release holds, in one file; and where others are found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from builder.assembly.rules import PACKAGES
from builder.build.update import Updates
from builder.describe.inventory import (
    FILE,
    Inventory,
    Kernel,
    Package,
    read_inventory,
    split,
    take_files,
    take_options,
    take_sysctl,
    take_units,
)
from builder.errors import Code, ColvertError, Location
from builder.pipeline.key import digest_value
from builder.pipeline.stage import Work
from builder.pipeline.store import Entry

OS_RELEASE = "usr/lib/os-release"


@dataclass
class Inventories(Updates):
    """The inventory of the release, made when it is first asked for."""

    @cached_property
    def inventory(self) -> Entry:
        """out/inventory.json"""
        kernel = self.session.loaded.manifest.part_json("kernel.command_line")
        use = {cpv: list(self.session.plan.nodes[cpv].use) for cpv in self.shipped}
        inputs = {
            "tree": self.tree.digest,
            "usr": self.usr.digest,
            "initrd": self.initrd.digest,
            "uki": self.uki.digest,
            "manifest": kernel,
            "use": digest_value(use),
            "release": self.code_of("release"),
        }
        return self.stage(
            "inventory", inputs, (self.tree, self.usr, self.initrd, self.uki), self._make_inventory
        )

    def _make_inventory(self, work: Work) -> None:
        use = {cpv: self.session.plan.nodes[cpv].use for cpv in self.shipped}
        sizes = {
            "usr": self.usr.out / "usr.raw",
            "verity": self.usr.out / "usr.verity",
            "initrd": self.initrd.out / "initrd",
            "uki": self.uki.out / "uki.efi",
        }
        inventory = take_inventory(
            self.tree.out,
            sizes={name: path.stat().st_size for name, path in sizes.items()},
            command_line=self.session.loaded.manifest.kernel.command_line,
            use=use,
        )
        (work.out / FILE).write_text(inventory.text())


def take_inventory(
    made: Path,
    *,
    sizes: Mapping[str, int] | None = None,
    command_line: tuple[str, ...] = (),
    use: Mapping[str, tuple[str, ...]] | None = None,
) -> Inventory:
    """The inventory of the tree stage's output; what is not given is left out."""
    tree = made / "tree"
    report = json.loads((made / "report.json").read_text())
    files = take_files(tree, report["owners"])
    release = dict(line.split("=", 1) for line in (tree / OS_RELEASE).read_text().splitlines() if "=" in line)
    kernel = report["kernel"] or ""
    return Inventory(
        id=release["ID"],
        version=release["VERSION_ID"],
        sizes={"tree": sum(file.size for file in files.values()), **(sizes or {})},
        kernel=Kernel(
            release=kernel,
            command_line=command_line,
            options=take_options(made / "side/usr/lib/modules" / kernel / "config") if kernel else {},
        ),
        packages=_packages(tree, report["sizes"], use),
        units=take_units(tree, report["units"]),
        sysctl=take_sysctl(tree),
        files=files,
    )


def _packages(
    tree: Path, sizes: Mapping[str, int], use: Mapping[str, tuple[str, ...]] | None
) -> dict[str, Package]:
    listed = json.loads((tree / PACKAGES).read_text())["packages"]
    names = [split(item["package"])[0] for item in listed]
    found = {}
    for item in listed:
        cpv = item["package"]
        name, version = split(cpv)
        key = name if names.count(name) == 1 else f"{name}:{item['slot']}"
        found[key] = Package(
            version=version,
            slot=item["slot"],
            use=tuple(sorted(use[cpv])) if use is not None else None,
            licences=tuple(item["licences"]),
            size=sizes.get(cpv, 0),
        )
    return found


def stored_inventory(path: Path) -> Inventory | None:
    """The inventory at a path: the file itself, a release's directory, or a tree of the store.

    None for a file that is to be a manifest.
    """
    if not path.exists():
        raise ColvertError(
            Code.USAGE,
            "there is no such release, manifest or tree",
            where=Location(str(path)),
            hint="name OUT/VERSION, a manifest, or a tree of the store",
        )
    if path.is_file() and path.suffix == ".json":
        return read_inventory(path)
    if not path.is_dir():
        return None
    if (path / FILE).is_file():
        return read_inventory(path / FILE)
    for made in (path, path / "out"):
        if (made / "report.json").is_file() and (made / "tree").is_dir():
            return take_inventory(made)
    raise ColvertError(
        Code.USAGE,
        f"no release and no tree: it has neither {FILE} nor report.json",
        where=Location(str(path)),
        hint="name OUT/VERSION, a manifest, or a tree of the store",
    )
