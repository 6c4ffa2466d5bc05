"""Stage `inventory`: packages, files and settings of a release; inventories of other releases read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from builder.assembly.rules import PACKAGES
from builder.build.tree import REPORT, TREE
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
from builder.pipeline.artifact import Artifact, Part
from builder.pipeline.entry import DATA
from builder.pipeline.index import from_bytes
from builder.pipeline.stage import Stage, Work
from builder.pipeline.store import INDEX

OS_RELEASE = "usr/lib/os-release"


@dataclass(frozen=True)
class MakeInventory(Stage):
    """out/inventory.json"""

    name: ClassVar[str] = "inventory"

    tree: Artifact
    # the files whose sizes are listed, by what they are
    sized: Mapping[str, Part]
    command_line: tuple[str, ...]
    # USE of the image's packages
    use: Mapping[str, tuple[str, ...]]
    id: str
    version: str

    @property
    def label(self) -> str:
        return f"{self.id} {self.version}"

    def run(self, work: Work) -> None:
        inventory = take_inventory(
            work.path(self.tree),
            modes=dict(work.modes(self.tree)),
            sizes={name: work.path(part).stat().st_size for name, part in self.sized.items()},
            command_line=self.command_line,
            use=self.use,
        )
        (work.out / FILE).write_text(inventory.text())


def take_inventory(
    made: Path,
    *,
    modes: Mapping[str, int] | None = None,
    sizes: Mapping[str, int] | None = None,
    command_line: tuple[str, ...] = (),
    use: Mapping[str, tuple[str, ...]] | None = None,
) -> Inventory:
    """The inventory of the tree stage's output; arguments that are None are left out.

    `modes` are the true ones where the output is the store's own, whose files are read-only.
    """
    tree = made / TREE
    report = json.loads((made / REPORT).read_text())
    prefix = f"{TREE}/"
    inside = None if modes is None else {n.removeprefix(prefix): m for n, m in modes.items()}
    files = take_files(tree, report["owners"], inside)
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
            "no such release, manifest or tree",
            where=Location(str(path)),
            hint="pass OUT/VERSION, a manifest, or a tree of the store",
        )
    if path.is_file() and path.suffix == ".json":
        return read_inventory(path)
    if not path.is_dir():
        return None
    if (path / FILE).is_file():
        return read_inventory(path / FILE)
    for made in (path, path / DATA):
        if (made / REPORT).is_file() and (made / TREE).is_dir():
            return take_inventory(made, modes=_stored_modes(made))
    raise ColvertError(
        Code.USAGE,
        f"not a release or tree: {FILE} and report.json are missing",
        where=Location(str(path)),
        hint="pass OUT/VERSION, a manifest, or a tree of the store",
    )


def _stored_modes(made: Path) -> dict[str, int] | None:
    """The true modes of an artifact of the store; None for any other directory."""
    index = made.parent / INDEX
    if made.name != DATA or not index.is_file():
        return None
    return {item.name: item.mode for item in from_bytes(index.read_bytes())}
