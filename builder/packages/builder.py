"""Packages of a plan as jobs of the scheduler."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from builder.errors import ColvertError
from builder.packages.capabilities import check_capabilities
from builder.packages.distfile import Source
from builder.packages.fetch import Distfile, Fetcher, distfiles
from builder.packages.overlay import Settings
from builder.packages.package import IMAGE, VDB, Dependency, Package
from builder.packages.plan import Node, Overlays, Plan
from builder.packages.recipe import Recipes
from builder.pipeline.artifact import Artifact
from builder.pipeline.entry import Entry
from builder.pipeline.scheduler import Entries, Job, Scheduler, Weight, closure, with_paths
from builder.pipeline.store import Store

# more packages at once than cores, since configure scripts leave cores idle; the compile slots keep
# the number of compilers down
WEIGHT = Weight(cores=2 / 3, memory=1 << 30)
# what a package costs without its sources, in bytes of them: configure takes a while whatever follows
FIXED = 1 << 20


@dataclass(frozen=True)
class Builder:
    """The packages of one plan."""

    store: Store
    plan: Plan
    settings: Settings
    overlays: Overlays
    fetcher: Fetcher
    # kernel configuration fragments by package, in order
    fragments: Mapping[str, Artifact] = field(default_factory=dict)

    @cached_property
    def recipes(self) -> Recipes:
        return Recipes(self.store, self.plan, self.settings, self.overlays)

    # --- sources ------------------------------------------------------------------

    def manifest(self, node: Node) -> Path:
        """The Manifest of a package, in the user's own overlay: errors name it."""
        return (self.recipes.overlay(node).path / node.ebuild).parent / "Manifest"

    def sources(self, node: Node) -> list[Distfile]:
        """The distfiles that a package needs, as its Manifest pins them."""
        return distfiles(self.manifest(node), node.distfiles)

    def all_sources(self, wanted: Iterable[str] | None = None) -> list[Distfile]:
        """The distfiles of the whole plan or of some packages, each once."""
        chosen = self.plan.nodes if wanted is None else wanted
        found = {item.name: item for cpv in chosen for item in self.sources(self.plan.nodes[cpv])}
        return [found[name] for name in sorted(found)]

    # --- jobs ---------------------------------------------------------------------

    def jobs(self, wanted: Iterable[str] | None = None) -> list[Job]:
        """A job for every package of the plan, or for those wanted and all that they need.

        Raises PACKAGE_REFUSED before anything is compiled where an image would lose what a package sets.
        """
        check_capabilities(self.plan, self.recipes)
        sources = {cpv: self.sources(node) for cpv, node in self.plan.nodes.items()}
        fetch = _Once(
            # all at once: a source that is gone shows before hours of compiling
            lambda names: self.fetcher.fetch_all(
                item for name in sorted(names & sources.keys()) for item in sources[name]
            )
        )
        jobs = [
            Job(
                node.cpv,
                ("package", node.atom),
                tuple(self.plan.sysroot(node.cpv)),
                _Maker(self, node, tuple(sources[node.cpv])),
                WEIGHT,
                prepare=fetch,
            )
            for node in self.plan.packages
        ]
        if wanted is not None:
            jobs = closure(jobs, wanted)
        return with_paths(jobs, lambda job: FIXED + sum(item.size for item in sources[job.name]))

    def stage(self, node: Node, sources: Iterable[Distfile], built: Entries) -> Package:
        """The stage of one package, from the entries of its sysroot."""
        return Package(
            cpv=node.cpv,
            slot=node.slot,
            repository=node.repository,
            ebuild=node.ebuild,
            use=node.use,
            iuse=node.iuse,
            repositories=self.settings.configuration.repositories,
            profile=self.settings.profile,
            recipe=self.recipes.recipe(node),
            sources=tuple(Source(item.name, item.size, item.blake2b, item.sha512) for item in sources),
            dependencies=tuple(
                Dependency(cpv, built[cpv].part(IMAGE), built[cpv].part(VDB))
                for cpv in self.plan.sysroot(node.cpv)
            ),
            fragments=self.fragments.get(node.cpv),
        )

    def build(self, scheduler: Scheduler, wanted: Iterable[str] | None = None) -> dict[str, Entry]:
        """Compile the plan, or the packages wanted and all that they need; returns them by cpv."""
        return scheduler.run(self.jobs(wanted))


@dataclass(frozen=True)
class _Maker:
    """Makes a package's stage when what it needs is built."""

    builder: Builder
    node: Node
    sources: tuple[Distfile, ...]

    def __call__(self, built: Entries) -> Package:
        return self.builder.stage(self.node, self.sources, built)


class _Once:
    """Calls a function with the first names that come, and not again; who comes meanwhile waits.

    Where it failed, all fail with its error.
    """

    def __init__(self, work: Callable[[AbstractSet[str]], None]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._done = False
        self._error: ColvertError | None = None

    def __call__(self, names: AbstractSet[str]) -> None:
        with self._lock:
            if self._error is not None:
                raise self._error
            if not self._done:
                try:
                    self._work(names)
                except ColvertError as error:
                    self._error = error
                    raise
                self._done = True
