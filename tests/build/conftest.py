"""Build tests: a workshop with the real SDK, a store of its own and an overlay written on the spot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from builder.build.session import CANCELLED
from builder.packages.builder import Builder
from builder.packages.fetch import Fetcher
from builder.packages.overlay import Overlay, Settings
from builder.packages.plan import FILE as PLAN
from builder.packages.plan import Overlays, Plan, Resolve
from builder.pipeline.entry import Entry
from builder.pipeline.events import Event, Events
from builder.pipeline.executor import Executor
from builder.pipeline.scheduler import Scheduler, machine_capacity
from builder.pipeline.store import Store
from builder.sandbox.home import Home, open_home, set_slots
from builder.sandbox.sdk import Sdk
from tests.build.places import open_place

COLVERT = Path(__file__).parents[2] / "overlays/colvert"
HEAD = 'EAPI=8\nDESCRIPTION="test"\nHOMEPAGE="https://example.org"\nLICENSE="Apache-2.0"\nSLOT="0"\nKEYWORDS="amd64"\n'


@dataclass
class Workshop:
    """A place to build small packages in."""

    home: Home
    sdk: Sdk
    overlay: Path
    seen: list[Event] = field(default_factory=list)

    def ebuild(self, cpv: str, body: str, files: Mapping[str, str] | None = None) -> Path:
        """Write an ebuild into the workshop's overlay."""
        category, _, pf = cpv.partition("/")
        folder = self.overlay / category / pf.rpartition("-")[0]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{pf}.ebuild"
        path.write_text(f'{HEAD}S="${{WORKDIR}}"\n{body}\n')
        for name, text in (files or {}).items():
            (folder / "files").mkdir(exist_ok=True)
            (folder / "files" / name).write_text(text)
        return path

    def executor(self) -> Executor:
        """With a store that knows nothing but what is on the disk, as another process has it."""
        events = Events(self.seen.append)
        return Executor(Store(self.home.store), events, self.sdk, self.home.local(CANCELLED.is_set))

    def settings(self, use: Mapping[str, tuple[str, ...]] | None = None) -> Settings:
        overlays = (Overlay("colvert", COLVERT), Overlay("testing", self.overlay))
        return Settings(overlays, "colvert/amd64", dict(use or {}))

    def plan(
        self,
        *atoms: str,
        use: Mapping[str, tuple[str, ...]] | None = None,
        executor: Executor | None = None,
    ) -> tuple[Plan, Overlays]:
        """The plan of some atoms, and the copies of the overlays that it was made from."""
        runner, settings = executor or self.executor(), self.settings(use)
        overlays = settings.ingest(runner.store)
        entry = runner.obtain(Resolve(atoms, settings.configuration, overlays))
        return Plan.model_validate_json(runner.store.read(entry.part(PLAN))), overlays

    def builder(
        self, executor: Executor, *atoms: str, use: Mapping[str, tuple[str, ...]] | None = None
    ) -> Builder:
        plan, overlays = self.plan(*atoms, use=use, executor=executor)
        fetcher = Fetcher(self.home.distfiles, self.sdk.mirror, executor.events)
        return Builder(executor.store, plan, self.settings(use), overlays, fetcher)

    def build(self, *atoms: str, use: Mapping[str, tuple[str, ...]] | None = None) -> dict[str, Entry]:
        self.seen.clear()
        CANCELLED.clear()
        executor = self.executor()
        scheduler = Scheduler(executor, machine_capacity(2), on_interrupt=CANCELLED.set)
        return self.builder(executor, *atoms, use=use).build(scheduler)

    def log(self, cpv: str) -> Path | None:
        """The newest log of a package's build."""
        found = self.home.root.glob(f"logs/{cpv}-*.log")
        return max(found, key=lambda path: path.stat().st_mtime, default=None)

    def made(self) -> list[str]:
        """What the last `build` really built."""
        return sorted(
            event.label for event in self.seen if event.stage == "package" and event.kind == "finished"
        )


@pytest.fixture
def workshop(sdk: Sdk) -> Iterator[Workshop]:
    with open_place() as root:
        home = open_home(root / "home")
        set_slots(home, 2)
        overlay = root / "overlay"
        for name, text in {
            "metadata/layout.conf": "masters =\nthin-manifests = true\n",
            "profiles/repo_name": "testing\n",
        }.items():
            (overlay / name).parent.mkdir(parents=True, exist_ok=True)
            (overlay / name).write_text(text)
        yield Workshop(home, sdk, overlay)
