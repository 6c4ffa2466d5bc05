"""Plan: manifest -> the resolved, ordered set of packages."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

from pydantic import BaseModel, ConfigDict

from builder.errors import Code, ColvertError
from builder.packages.portage.config import ENVIRONMENT, HERE, SYSROOT, TMPFS, Settings, binds, write_config
from builder.pipeline.key import digest_file, digest_tree, digest_value
from builder.pipeline.stage import Executor, Stage, Work
from builder.sandbox.home import Home
from builder.sandbox.run import Bind, hand_over, run
from builder.sandbox.sdk import Sdk

VERSION = 1


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
    settings: dict[str, str]
    dependencies: dict[str, tuple[str, ...]]

    @property
    def atom(self) -> str:
        return f"{self.category}/{self.name}"

    def needs(self, kind: str) -> list[str]:
        """Its direct dependencies of one kind: build, run or post."""
        return [cpv for cpv, kinds in self.dependencies.items() if kind in kinds]


class Plan(BaseModel):
    """Every package of one operating system."""

    model_config = ConfigDict(frozen=True)

    packages: tuple[Node, ...]

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
        """What stands in a package's sysroot: its declared build dependencies and what those
        need at run time; never itself."""
        return [other for other in self.runtime(self.nodes[cpv].needs("build")) if other != cpv]

    def order(self) -> TopologicalSorter[str]:
        """The packages, each after everything in its sysroot; prepared for walking."""
        sorter = TopologicalSorter({cpv: self.sysroot(cpv) for cpv in self.nodes})
        try:
            sorter.prepare()
        except CycleError as error:
            circle = " -> ".join(error.args[1])
            raise ColvertError(
                Code.UNRESOLVABLE, f"packages need each other to be built: {circle}"
            ) from error
        return sorter

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
            hint=f"did you mean {' or '.join(near)}?" if near else "colvert plan lists them",
        )


@dataclass(frozen=True)
class PlanRequest:
    """What a plan is made from."""

    atoms: tuple[str, ...]
    settings: Settings

    def inputs(self, sdk: Sdk) -> Mapping[str, str]:
        return {
            "atoms": " ".join(self.atoms),
            "use": digest_value({atom: list(flags) for atom, flags in self.settings.use.items()}),
            "profile": self.settings.profile,
            "sdk": sdk.id,
            "resolver": digest_file(HERE / "resolve.py"),
            "make.conf": digest_file(HERE / "make.conf"),
            **{f"overlay:{overlay.name}": digest_tree(overlay.path) for overlay in self.settings.overlays},
        }


def make_plan(executor: Executor, home: Home, sdk: Sdk, request: PlanRequest) -> Plan:
    """The plan, from the store where nothing that it depends on has changed."""
    stage = Stage(
        "plan",
        f"{len(request.atoms)} atoms",
        VERSION,
        request.inputs(sdk),
        lambda work: _resolve(work, home, sdk, request),
    )
    entry = executor.obtain(stage)
    return Plan.model_validate_json((entry.out / "plan.json").read_bytes())


def _resolve(work: Work, home: Home, sdk: Sdk, request: PlanRequest) -> None:
    config, repositories = work.scratch / "config", work.scratch / "repos"
    write_config(request.settings, config)
    for overlay in request.settings.overlays:
        shutil.copytree(overlay.path, repositories / overlay.name, symlinks=True)
    metadata = hand_over(home.cache / "portage-metadata" / sdk.id[:16])
    box = sdk.sandbox(
        *binds(sdk, config, repositories),
        Bind(metadata, "/var/cache/edb", writable=True),
        Bind(hand_over(work.scratch / "sysroot"), SYSROOT, writable=True),
        tmpfs=TMPFS,
    )
    result = run(
        ["python3", "/build/scripts/resolve.py"],
        sandbox=box,
        env=ENVIRONMENT,
        stdin=json.dumps({"atoms": list(request.atoms)}).encode(),
        code=Code.UNRESOLVABLE,
    )
    answer = json.loads(result.stdout.splitlines()[-1])
    if "error" in answer:
        raise ColvertError(
            Code.UNRESOLVABLE, "Portage cannot resolve the packages", detail=shorten(answer["error"])
        )
    plan = Plan.model_validate(answer)
    plan.order()
    (work.out / "plan.json").write_text(plan.model_dump_json(indent=1))


def shorten(text: str) -> list[str]:
    """Portage's explanation without its progress and boiler plate, at most twenty lines."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    dull = re.compile(
        r"^(Calculating|Dependency resolution|\s*$|For more information|These are the packages|.*\[3\d;)"
    )
    return [line.rstrip() for line in plain.splitlines() if not dull.match(line)][:20]
