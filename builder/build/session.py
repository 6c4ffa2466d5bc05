"""Session of one build: its manifest, overlays, SDK, store, plan and scheduler.

Everything that can be checked is checked here, in the order of its cost, before anything
changes on the machine: the manifest, its overlays, then the SDK and the plan.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from builder.build.lockfile import check_locked, lock_overlays, lock_python, lock_sdk, lock_sources
from builder.build.sources import Sources, open_sources
from builder.build.targets import check_settings
from builder.errors import Code, ColvertError, Location
from builder.manifest.load import LoadedManifest, load
from builder.manifest.model import GitOverlay
from builder.manifest.overlays import fetch_overlay
from builder.packages.builder import Builder
from builder.packages.bump import Bump, bumped_overlay, find_bumps
from builder.packages.fetch import Distfile, Fetcher
from builder.packages.overlay import Overlay, Settings, read_overlay
from builder.packages.plan import FILE as PLAN
from builder.packages.plan import Overlays, Plan, Resolve
from builder.packages.repository import check_distinct, check_masters, check_profile
from builder.pipeline.artifact import Artifact
from builder.pipeline.code import CACHE as CODE_CACHE
from builder.pipeline.code import CodeDigests
from builder.pipeline.entry import Entry
from builder.pipeline.events import Event, Events, Kind
from builder.pipeline.executor import Executor
from builder.pipeline.index import Type
from builder.pipeline.ingest import ingest_files
from builder.pipeline.scheduler import Scheduler, machine_capacity
from builder.pipeline.store import Store
from builder.sandbox.doctor import require_namespaces
from builder.sandbox.home import Home, open_home, set_slots
from builder.sandbox.sdk import Sdk, ensure_sdk
from builder.texts import public

DEFAULT_MANIFEST = Path("manifests/colvert.yaml")
# a build of everything takes this much at most; below it, it is refused before it starts
SPACE_NEEDED = 6 << 30

Result = TypeVar("Result")
# set when a build is interrupted: every package build that still runs is stopped
CANCELLED = threading.Event()


@dataclass(frozen=True)
class Request:
    """Options of the command line."""

    manifest: Path | None = None
    home: Path | None = None
    jobs: int | None = None
    mirrors: tuple[str, ...] = ()
    overrides: Mapping[str, str] = field(default_factory=dict)
    # everything as in this lock
    lock: Path | None = None
    # an export, as the only place to build from
    sources: Path | None = None
    state: Path = Path(".colvert")


@dataclass
class Session:
    """A build whose inputs are known; what is costly is made when it is first asked for."""

    loaded: LoadedManifest
    home: Home
    events: Events
    store: Store
    settings: Settings
    mirrors: tuple[str, ...]
    cores: int
    lock: Path | None = None
    sources: Sources | None = None
    # the checkout's own directory: its keys
    state: Path = Path(".colvert")
    # the newer releases that were taken because a pinned source is gone
    bumps: tuple[Bump, ...] = ()
    overrides: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def sdk(self) -> Sdk:
        return ensure_sdk(self.home, self.events)

    @cached_property
    def executor(self) -> Executor:
        code = CodeDigests(cache=self.home.cache / CODE_CACHE)
        return Executor(self.store, self.events, self.sdk, self.home.local(CANCELLED.is_set), code)

    @cached_property
    def scheduler(self) -> Scheduler:
        return Scheduler(self.executor, machine_capacity(self.cores), on_interrupt=CANCELLED.set)

    @property
    def atoms(self) -> tuple[str, ...]:
        manifest = self.loaded.manifest
        return tuple(dict.fromkeys((*manifest.packages, manifest.kernel.package)))

    @cached_property
    def _resolved(self) -> tuple[Plan, Overlays]:
        try:
            plan, overlays = self._resolve()
        except ColvertError as error:
            raise self._placed(error) from error
        if self.lock is not None:
            sources = self._builder(plan, overlays).all_sources()
            check_locked(self.lock, sdk=lock_sdk(self.sdk), sources=lock_sources(sources))
        return plan, overlays

    def _resolve(self) -> tuple[Plan, Overlays]:
        """The plan, from the store if nothing that it depends on has changed, and the overlays in it."""
        overlays = self.settings.ingest(self.store)
        entry = self.executor.obtain(Resolve(self.atoms, self.settings.configuration, overlays))
        return Plan.model_validate_json(self.store.read(entry.part(PLAN))), overlays

    @property
    def plan(self) -> Plan:
        return self._resolved[0]

    @property
    def overlays(self) -> Overlays:
        """The copies of the overlays from which the plan was made, by name."""
        return self._resolved[1]

    @cached_property
    def licence_texts(self) -> dict[str, tuple[Artifact, str]]:
        """Where the text of each licence is in the overlays' copies; later overlays win."""
        return {
            item.name.removeprefix("licenses/"): (artifact, item.name)
            for artifact in self.overlays.values()
            for item in self.store.index(artifact)
            if item.name.startswith("licenses/") and item.type is not Type.DIRECTORY
        }

    @cached_property
    def builder(self) -> Builder:
        return self._builder(*self._resolved)

    def _builder(self, plan: Plan, overlays: Overlays) -> Builder:
        only = self.sources.distfiles if self.sources else None
        fetcher = Fetcher(self.home.distfiles, self.sdk.mirror, self.events, self.mirrors, only=only)
        return Builder(self.store, plan, self.settings, overlays, fetcher, self._fragments(plan))

    def _fragments(self, plan: Plan) -> dict[str, Artifact]:
        """The manifest's kernel fragments, for the package that its kernel is."""
        kernel = self.loaded.manifest.kernel
        if not kernel.fragments:
            return {}
        node = plan.asked_for(kernel.package)
        if node is None:
            raise ColvertError(
                Code.MANIFEST_INVALID,
                f"the kernel {kernel.package} is not in the plan, so its fragments have no effect",
                where=self.loaded.origin(("kernel", "package")),
                hint="use a package (and version) from the output of colvert plan",
            )
        files = {fragment_name(n, item.path.name): item.path for n, item in enumerate(kernel.fragments)}
        return {node.cpv: ingest_files(self.store, "fragments", files)}

    def build_packages(self, wanted: Iterable[str] | None = None) -> dict[str, Entry]:
        """Build the plan's packages, or those named and what they need.

        Where a pinned source is gone, a newer patch release is taken, unless that is locked out.
        """
        self.events.emit(Event(kind=Kind.PLANNED, stage="package", total=len(self.plan.packages)))
        names = None if wanted is None else list(wanted)
        return self.with_newer_sources(
            lambda: self.builder.build(
                self.scheduler, None if names is None else [self.plan.find(name).cpv for name in names]
            )
        )

    def fetch_sources(self) -> list[Distfile]:
        """Fetch the sources of the whole plan, by the same rule; returns them."""

        def fetch() -> list[Distfile]:
            wanted = self.builder.all_sources()
            self.builder.fetcher.fetch_all(wanted)
            return wanted

        return self.with_newer_sources(fetch)

    def with_newer_sources(self, work: Callable[[], Result]) -> Result:
        """Do the work, and repeat it with a newer patch release if a pinned source is gone."""
        CANCELLED.clear()
        while True:
            try:
                return work()
            except ColvertError as error:
                gone = self.builder.fetcher.gone
                if error.code is not Code.FETCH_FAILED or not gone:
                    raise
                if self.lock is not None:
                    hint = "run without --locked to use the newest patch release"
                    raise error.but(hint=hint) from error
                self._bump(gone)

    def _bump(self, gone: Iterable[str]) -> None:
        """Replace the sources that are gone by newer releases, and plan again."""
        bumps = find_bumps(self.home, self.sdk, self.plan.packages, gone)
        for bump in bumps:
            self.events.warning(
                f"{bump.distfile} is gone from its mirrors: using {bump.node.atom} {bump.version} instead of"
                f" {bump.node.version} (Debian's signed index has it; --locked forbids this)"
            )
        self.bumps += tuple(bumps)
        overlays = []
        for overlay in self.settings.overlays:
            own = [bump for bump in bumps if bump.node.repository == overlay.name]
            overlays.append(bumped_overlay(self.home, overlay, own, self.builder.fetcher) if own else overlay)
        self.settings = replace(self.settings, overlays=tuple(overlays))
        self.forget()

    def forget(self) -> None:
        """Drop the plan and the ingested overlays and files; the next use reads them anew."""
        for name in ("_resolved", "builder", "licence_texts"):
            self.__dict__.pop(name, None)

    def _placed(self, error: ColvertError) -> ColvertError:
        """A resolver's error at the manifest's line that asks for the package it is about."""
        if error.code is not Code.UNRESOLVABLE or error.where is not None:
            return error
        text = " ".join(error.detail)
        for number, atom in enumerate(self.loaded.manifest.packages):
            if f'"{atom}"' in text or f"{atom}::" in text:
                return error.but(what=f"{error.what}: {atom}", where=self.loaded.origin(("packages", number)))
        return error.but(where=Location(str(self.loaded.path)))


def open_session(request: Request, events: Events) -> Session:
    """Check everything that can be checked and open the build."""
    sources = open_sources(request.sources) if request.sources else None
    path = request.manifest or (sources.manifest if sources else _default_manifest())
    loaded = load(path, overrides=request.overrides)
    check_settings(loaded)
    if sources is not None and path == sources.manifest:
        index = sources.index
        loaded = replace(loaded, commit=index.commit, dirty=index.dirty, text_digest=index.text_digest)
    home = open_home(request.home)
    require_namespaces()
    cores = request.jobs or os.cpu_count() or 1
    set_slots(home, cores)
    _room_left(home)
    manifest = loaded.manifest
    lock = request.lock or (sources.lock if sources else None)
    overlays = _overlays(loaded, home, offline=sources is not None)
    if lock is not None:
        found = lock_overlays(manifest.overlays, overlays)
        check_locked(lock, overlays=found, python=lock_python())
    if sources is not None:
        sources.install_sdk(home)
    return Session(
        loaded,
        home,
        events,
        Store(home.store),
        Settings(overlays, manifest.profile, dict(manifest.use)),
        (*request.mirrors, *manifest.distfile_mirrors),
        cores,
        lock,
        sources,
        request.state.absolute(),
        overrides=dict(request.overrides),
    )


def mending(events: Events, work: Callable[[], object], forget: Callable[[], object] = lambda: None) -> None:
    """Do the work, and repeat it if a store entry was damaged (and set aside).

    What was whole is still in the store, so only the damaged entry and what must follow is made. `forget`
    drops what was taken in before. The same damage twice is an error: the disk may be the cause.
    """
    seen: set[str] = set()
    while True:
        try:
            work()
            return
        except ColvertError as error:
            if error.code is not Code.STORE_CORRUPT or error.what in seen:
                raise
            seen.add(error.what)
            events.warning(f"{error.what}; rebuilding it")
            forget()


def _default_manifest() -> Path:
    if not DEFAULT_MANIFEST.exists():
        raise ColvertError(
            Code.MANIFEST_MISSING,
            f"{DEFAULT_MANIFEST} not found in this directory",
            hint="change to Colvert's checkout, or pass a manifest with --manifest",
        )
    return DEFAULT_MANIFEST


def _overlays(loaded: LoadedManifest, home: Home, *, offline: bool) -> tuple[Overlay, ...]:
    found: list[Overlay] = []
    named: list[tuple[str, Location]] = []
    for number, entry in enumerate(loaded.manifest.overlays):
        where = loaded.origin(("overlays", number))
        if offline and isinstance(entry, GitOverlay):
            raise ColvertError(
                Code.OVERLAY_MISSING,
                f"{public(entry.git)} would have to be fetched, and --sources allows no network",
                where=where,
                hint="remove --manifest: the export contains its own manifest and overlays",
            )
        path = (
            fetch_overlay(entry, home.cache / "overlays", where)
            if isinstance(entry, GitOverlay)
            else entry.path
        )
        overlay = _described(path, where)
        named.append((overlay.name, where))
        check_distinct(named)
        check_masters(overlay.name, overlay.masters, [item.name for item in found], where)
        found.append(overlay)
    if found:
        check_profile(found[0].path, loaded.manifest.profile, loaded.origin(("profile",)))
    else:
        raise ColvertError(
            Code.OVERLAY_MISSING, "the manifest has no overlay", where=Location(str(loaded.path))
        )
    return tuple(found)


def _described(path: Path, where: Location) -> Overlay:
    """The overlay in `path`; one that is none is an error at the manifest's line that names it."""
    try:
        return read_overlay(path)
    except ColvertError as error:
        if error.code is not Code.OVERLAY_MISSING:
            raise
        raise error.but(what=f"{path}: {error.what}", where=where) from error


def _room_left(home: Home) -> None:
    free = shutil.disk_usage(home.root).free
    if free < SPACE_NEEDED:
        raise ColvertError(
            Code.NO_SPACE,
            f"{home.root} has {free >> 20} MiB free, and a build may need {SPACE_NEEDED >> 20} MiB",
            hint="run colvert store prune --size 5G, or choose another directory with --home",
        )


def fragment_name(number: int, name: str) -> str:
    """The file as which the kernel's ebuild gets a fragment: it merges *.config, and others say *.cfg."""
    return f"{number:02}-{name.removesuffix('.config')}.config"
