"""Stage `plan`: the resolved packages of a manifest with USE, edges and sources."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from builder.errors import Code, ColvertError
from builder.packages.portage.config import ENVIRONMENT, SYSROOT, TMPFS, Configuration, binds, write_config
from builder.pipeline.artifact import Artifact
from builder.pipeline.stage import Stage, Work
from builder.sandbox.run import Bind, Sandbox, hand_over, run

HERE = Path(__file__).parent
DATA = ("portage/resolve.py",)
FILE = "plan.json"
Overlays = Mapping[str, Artifact]
# an atom (PMS 8.2.6): operator, category/name, version where there is an operator, slot, repository, USE
ATOM = re.compile(
    r"(?P<operator>[<>]=?|[=~])?(?P<name>[\w+.-]+/[\w+-]+?)"
    r"(?:-(?P<version>\d+(?:\.\d+)*[a-z]?(?:_(?:alpha|beta|pre|rc|p)\d*)*(?:-r\d+)?\*?))?"
    r"(?::(?P<slot>[\w+./-]+)[*=]?)?(?:::(?P<repository>[\w-]+))?(?:\[.*\])?"
)


class Node(BaseModel):
    """One package of the plan, as Portage resolved it."""

    model_config = ConfigDict(frozen=True)

    cpv: str
    category: str
    name: str
    pf: str
    version: str
    slot: str
    repository: str
    use: tuple[str, ...]
    iuse: tuple[str, ...]
    ebuild: str
    eclasses: tuple[str, ...]
    distfiles: dict[str, tuple[str, ...]]
    # LICENSE with USE resolved, and the names in it
    licence: str
    licences: tuple[str, ...]
    description: str
    homepage: str
    dependencies: dict[str, tuple[str, ...]]

    @property
    def atom(self) -> str:
        return f"{self.category}/{self.name}"

    def means(self, atom: str) -> bool:
        """Whether an atom can mean this package: its name, and slot and repository where it names them."""
        hit = ATOM.fullmatch(atom)
        if hit is None or hit["name"] != self.atom:
            return False
        slot = (hit["slot"] or self.slot).partition("/")[0]
        return slot == self.slot and (hit["repository"] or self.repository) == self.repository

    def needs(self, kind: str) -> list[str]:
        """Its direct dependencies of one kind: build, run or post."""
        return [cpv for cpv, kinds in self.dependencies.items() if kind in kinds]


class Plan(BaseModel):
    """Every package of one operating system."""

    model_config = ConfigDict(frozen=True)

    packages: tuple[Node, ...]
    # those that an atom of the manifest asked for
    roots: tuple[str, ...]
    # the directories of the profiles that were used, parents first: REPOSITORY/profiles/...
    profiles: tuple[str, ...]

    @cached_property
    def nodes(self) -> dict[str, Node]:
        return {node.cpv: node for node in self.packages}

    def runtime(self, roots: Sequence[str]) -> list[str]:
        """The roots and all that they need at run time, sorted."""
        seen: set[str] = set()
        todo = list(roots)
        while todo:
            cpv = todo.pop()
            if cpv not in seen:
                seen.add(cpv)
                todo += self.nodes[cpv].needs("run") + self.nodes[cpv].needs("post")
        return sorted(seen)

    def sysroot(self, cpv: str) -> list[str]:
        """The packages of a sysroot: the declared build dependencies and what those
        need at run time; never itself."""
        return [other for other in self.runtime(self.nodes[cpv].needs("build")) if other != cpv]

    def order(self) -> TopologicalSorter[str]:
        """The packages, each after everything in its sysroot; prepared for walking."""
        sorter = TopologicalSorter({cpv: self.sysroot(cpv) for cpv in self.nodes})
        try:
            sorter.prepare()
        except CycleError as error:
            circle = " -> ".join(error.args[1])
            raise ColvertError(Code.UNRESOLVABLE, f"circular build dependencies: {circle}") from error
        return sorter

    @property
    def shipped(self) -> list[str]:
        """The packages of the image: those asked for and what they need at run time."""
        return self.runtime(self.roots)

    def asked_for(self, atom: str) -> Node | None:
        """The package that an atom of the manifest brought."""
        return next((self.nodes[cpv] for cpv in self.roots if self.nodes[cpv].means(atom)), None)

    def find(self, name: str) -> Node:
        """A package by category/name-version, category/name or name."""
        hits = [node for node in self.packages if name in (node.cpv, node.atom, node.name, node.pf)]
        if len(hits) == 1:
            return hits[0]
        import difflib

        known = [node.atom for node in self.packages] + [node.name for node in self.packages]
        near = difflib.get_close_matches(name, known, 3)
        what = f"{name} is not in the plan" if not hits else f"{name} is ambiguous"
        raise ColvertError(
            Code.UNKNOWN_PACKAGE,
            what,
            hint=f"did you mean {' or '.join(near)}?" if near else "list the packages with colvert plan",
        )


@dataclass(frozen=True)
class Resolve(Stage):
    """The stage that asks Portage for the plan of some atoms."""

    name: ClassVar[str] = "plan"

    atoms: tuple[str, ...]
    configuration: Configuration
    # the copies of the overlays, by name
    overlays: Mapping[str, Artifact]

    @property
    def label(self) -> str:
        return f"{len(self.atoms)} atoms"

    def run(self, work: Work) -> None:
        config, repositories = work.scratch / "config", work.scratch / "repos"
        write_config(self.configuration, config, [HERE / "portage/resolve.py"])
        for name, overlay in self.overlays.items():
            work.checkout(overlay, repositories / name)
        box = Sandbox(
            work.sdk.root,
            (
                *binds(work.sdk, config, repositories),
                Bind(hand_over(work.local.metadata), "/var/cache/edb", writable=True),
                Bind(hand_over(work.scratch / "sysroot"), SYSROOT, writable=True),
            ),
            TMPFS,
        )
        result = run(
            ["python3", "/build/scripts/resolve.py"],
            sandbox=box,
            env=ENVIRONMENT,
            stdin=json.dumps({"atoms": list(self.atoms)}).encode(),
            code=Code.UNRESOLVABLE,
        )
        answer = json.loads(result.stdout.splitlines()[-1])
        if "error" in answer:
            raise ColvertError(
                Code.UNRESOLVABLE, "Portage cannot resolve the packages", detail=shorten(answer["error"])
            )
        plan = Plan.model_validate(answer)
        plan.order()
        (work.out / FILE).write_text(plan.model_dump_json(indent=1))


def shorten(text: str) -> list[str]:
    """Portage's explanation without its progress and boiler plate, at most twenty lines."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    dull = re.compile(
        r"^(Calculating|Dependency resolution|\s*$|For more information|These are the packages|.*\[3\d;)"
    )
    return [line.rstrip() for line in plain.splitlines() if not dull.match(line)][:20]
