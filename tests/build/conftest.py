"""Build tests: a workshop with the real SDK, a store of its own and an overlay written on the spot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from builder.packages.builder import Builder
from builder.packages.fetch import Fetcher
from builder.packages.plan import Plan, PlanRequest, make_plan
from builder.packages.portage.config import Overlay, Settings
from builder.pipeline.events import Event, Events
from builder.pipeline.stage import Executor
from builder.pipeline.store import Entry, Store
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

    def plan(
        self, *atoms: str, use: Mapping[str, tuple[str, ...]] | None = None
    ) -> tuple[Plan, Settings, Executor]:
        overlays = (Overlay("colvert", COLVERT), Overlay("testing", self.overlay))
        settings = Settings(overlays, "colvert/amd64", dict(use or {}))
        executor = Executor(Store(self.home.store), Events(self.seen.append))
        return make_plan(executor, self.home, self.sdk, PlanRequest(atoms, settings)), settings, executor

    def builder(
        self, *atoms: str, use: Mapping[str, tuple[str, ...]] | None = None, cores: int = 2
    ) -> Builder:
        plan, settings, executor = self.plan(*atoms, use=use)
        fetcher = Fetcher(self.home.distfiles, self.sdk.mirror, executor.events)
        return Builder(executor, self.home, self.sdk, plan, settings, fetcher, cores)

    def build(self, *atoms: str, use: Mapping[str, tuple[str, ...]] | None = None) -> dict[str, Entry]:
        self.seen.clear()
        return self.builder(*atoms, use=use).build_all()

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
