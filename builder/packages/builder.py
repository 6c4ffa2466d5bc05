"""Packages: plan -> binary packages, each a stage of its own.

A package is keyed by its ebuild, eclasses, files, sources, USE, settings and the SDK, and by
what the packages in its sysroot *give* (their files), not by what those were made from: a
dependency that comes out the same stops the rebuilding there. The sysroot holds the declared
build dependencies with what they need at run time, hard-linked from the store.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import TimeoutExpired

from builder.errors import Code, ColvertError, Location, raise_all
from builder.packages.fetch import Distfile, Fetcher, distfiles
from builder.packages.plan import Node, Plan
from builder.packages.portage.config import (
    ENVIRONMENT,
    SYSROOT,
    TMPFS,
    Overlay,
    Settings,
    binds,
    recipe,
    write_config,
)
from builder.pipeline.key import digest_file, digest_tree, digest_value, walk
from builder.pipeline.stage import Executor, Phase, Stage, Work
from builder.pipeline.store import Entry, discard
from builder.sandbox.home import Home
from builder.sandbox.run import Bind, Command, Sandbox, command, hand_over, start, stop
from builder.sandbox.sdk import Sdk

VERSION = 1
PHASES = re.compile(
    r"^>>> (Unpacking|Preparing|Configuring|Compiling|Install(?:ing)?|Completed installing)\b"
)
TAIL = 40
# more packages at once than cores, since configure scripts leave cores idle; the compile slots keep
# the number of compilers down
PACKAGES_PER_CORE = 1.5


@dataclass(frozen=True)
class Builder:
    """Builds the packages of one plan."""

    executor: Executor
    home: Home
    sdk: Sdk
    plan: Plan
    settings: Settings
    fetcher: Fetcher
    cores: int
    # kernel configuration fragments, for the package named; part of its key
    fragments: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)

    # --- keys -------------------------------------------------------------------

    def overlay(self, node: Node) -> Overlay:
        return next(overlay for overlay in self.settings.overlays if overlay.name == node.repository)

    def own_inputs(self, node: Node) -> dict[str, str]:
        """What a package's key is made of, save its dependencies."""
        overlay = self.overlay(node)
        ebuild = overlay.path / node.ebuild
        inputs = {
            "ebuild": digest_file(ebuild),
            "use": " ".join(f if f in node.use else f"-{f}" for f in node.iuse),
            "settings": digest_value(node.settings),
            "sdk": self.sdk.id,
            "recipe": recipe(),
        }
        for name in node.eclasses:
            inputs[f"eclass:{name}"] = digest_file(self._eclass(overlay, name))
        if (ebuild.parent / "files").is_dir():
            inputs["files"] = digest_tree(ebuild.parent / "files")
        for source in self.sources(node):
            inputs[f"source:{source.name}"] = source.sha512[:64]
        for number, path in enumerate(self.fragments.get(node.atom, ())):
            inputs[f"fragment:{number}:{path.name}"] = digest_file(path)
        return inputs

    def _eclass(self, overlay: Overlay, name: str) -> Path:
        """Where a package of the overlay has an eclass from: its own, else the last master's that has it."""
        named = {item.name: item for item in self.settings.overlays}
        found = [overlay, *(named[master] for master in reversed(overlay.masters))]
        places = [item.path / "eclass" / f"{name}.eclass" for item in found]
        return next((path for path in places if path.exists()), places[0])

    def sources(self, node: Node) -> list[Distfile]:
        """The distfiles a package needs."""
        return distfiles((self.overlay(node).path / node.ebuild).parent / "Manifest", node.distfiles)

    def all_sources(self) -> list[Distfile]:
        """The distfiles of the whole plan, each once."""
        found = {item.name: item for node in self.plan.packages for item in self.sources(node)}
        return [found[name] for name in sorted(found)]

    def stage(self, node: Node, built: Mapping[str, Entry]) -> Stage:
        """The stage of one package, given the entries of all in its sysroot."""
        below = {cpv: built[cpv] for cpv in self.plan.sysroot(node.cpv)}
        inputs = self.own_inputs(node) | {f"dependency:{cpv}": gives(entry) for cpv, entry in below.items()}
        return Stage(
            "package",
            node.cpv,
            VERSION,
            inputs,
            lambda work: self._build(work, node, below),
            tuple(below.values()),
        )

    # --- building ---------------------------------------------------------------

    @property
    def at_once(self) -> int:
        """How many packages are built at once."""
        return max(1, round(self.cores * PACKAGES_PER_CORE))

    def build_all(self, wanted: Iterable[str] | None = None) -> dict[str, Entry]:
        """Build the plan (or the wanted packages and all that those need), in graph order.

        When one fails, those already running are finished (their work is worth keeping), no
        other is begun, and the first failure is raised with the rest.
        """
        needed = self._closure(wanted)
        built: dict[str, Entry] = {}
        failures: list[ColvertError] = []
        order = self.plan.order()
        running: dict[Future[Entry], str] = {}
        prefetched = False
        CANCELLED.clear()
        with ThreadPoolExecutor(self.at_once, thread_name_prefix="package") as pool:
            try:
                while order.is_active():
                    for cpv in [] if failures else order.get_ready():
                        stage = self.stage(self.plan.nodes[cpv], built) if cpv in needed else None
                        entry = self.executor.cached(stage) if stage else None
                        if stage is None or entry is not None:
                            if entry is not None:
                                built[cpv] = entry
                            order.done(cpv)
                            continue
                        if not prefetched:
                            # all sources first: a missing one shows before hours of compiling
                            self._prefetch(needed, built)
                            prefetched = True
                        running[pool.submit(self.executor.obtain, stage)] = cpv
                    if running:
                        _collect(running, built, failures, order.done)
                    elif failures:
                        break
            except BaseException:
                CANCELLED.set()
                raise
        raise_all(failures)
        return built

    def _closure(self, wanted: Iterable[str] | None) -> set[str]:
        if wanted is None:
            return set(self.plan.nodes)
        todo, seen = list(wanted), set[str]()
        while todo:
            cpv = todo.pop()
            if cpv not in seen:
                seen.add(cpv)
                todo += self.plan.sysroot(cpv)
        return seen

    def _prefetch(self, needed: set[str], built: Mapping[str, Entry]) -> None:
        """Fetch the sources of everything that is not in the store under any key we can foresee."""
        items = [item for cpv in sorted(needed - set(built)) for item in self.sources(self.plan.nodes[cpv])]
        self.fetcher.fetch_all(items)

    def _build(self, work: Work, node: Node, below: Mapping[str, Entry]) -> None:
        self.fetcher.fetch_all(self.sources(node))
        room = self.furnish(work.scratch, node, below)
        hand_over(work.out)
        log = self.log_path(node)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        prepared = self.command(room, node, work.out)
        status = _watch(prepared, log, work.phase)
        if status:
            kept = self.home.root / "failed" / node.category / node.pf
            discard(kept)
            kept.parent.mkdir(parents=True, exist_ok=True)
            room.path.rename(kept)
            raise ColvertError(
                Code.PACKAGE_FAILED,
                f"{node.cpv} failed to build (status {status})",
                where=Location(str(log)),
                detail=log.read_text(errors="replace").splitlines()[-TAIL:],
                hint=f"colvert shell {node.atom}   (enters that sandbox as it was left)",
            )
        image = digest_tree(work.out / "image")
        (work.out / "gives").write_text(
            digest_value({"image": image, "slot": node.slot, "use": list(node.use)})
        )

    def log_path(self, node: Node) -> Path:
        return self.home.root / "logs" / node.category / f"{node.pf}.log"

    def furnish(self, scratch: Path, node: Node, below: Mapping[str, Entry]) -> Room:
        """Lay out what the sandbox of one package is made of."""
        room = Room(hand_over(scratch / "room"))
        write_config(_pinned(self.settings, node), room.path / "config")
        for overlay in self.settings.overlays:
            _copy_overlay(overlay, room.repositories / overlay.name, node)
        for item in self.sources(node):
            _link(self.fetcher.path(item), room.distfiles / item.name)
        room.distfiles.mkdir(exist_ok=True)
        room.sysroot.mkdir()
        for cpv, entry in below.items():
            link_tree(entry.out / "image", room.sysroot)
            link_tree(entry.out / "vdb", room.sysroot / "var/db/pkg" / cpv)
        for number, path in enumerate(self.fragments.get(node.atom, ())):
            room.fragments.mkdir(exist_ok=True)
            shutil.copyfile(path, room.fragments / f"{number:02}-{path.name}")
        hand_over(room.tmp)
        return room

    def sandbox(self, room: Room, out: Path) -> Sandbox:
        """The sandbox of a package build: no network, nothing of the host but what is in the room."""
        extra = [Bind(room.fragments, "/build/kernel.config.d")] if room.fragments.is_dir() else []
        return self.sdk.sandbox(
            *binds(self.sdk, room.path / "config", room.repositories),
            Bind(room.distfiles, "/build/distfiles"),
            Bind(room.sysroot, SYSROOT),
            Bind(room.tmp, "/build/tmp", writable=True),
            Bind(out, "/build/out", writable=True),
            Bind(self.home.slots, "/run/compile-slots"),
            *extra,
            tmpfs=TMPFS,
        )

    def command(self, room: Room, node: Node, out: Path) -> Command:
        ebuild = f"/build/repos/{node.repository}/{node.ebuild}"
        return command(
            ["/bin/bash", "/build/scripts/build.sh", ebuild, node.category, node.pf],
            sandbox=self.sandbox(room, out),
            env=ENVIRONMENT,
        )


@dataclass(frozen=True)
class Room:
    """The directories that one package's sandbox is made of."""

    path: Path

    @property
    def repositories(self) -> Path:
        return self.path / "repos"

    @property
    def distfiles(self) -> Path:
        return self.path / "distfiles"

    @property
    def sysroot(self) -> Path:
        return self.path / "sysroot"

    @property
    def fragments(self) -> Path:
        return self.path / "fragments"

    @property
    def tmp(self) -> Path:
        return self.path / "tmp"


def _collect(
    running: dict[Future[Entry], str],
    built: dict[str, Entry],
    failures: list[ColvertError],
    done: Callable[[str], None],
) -> None:
    """Wait until at least one running package ends, and note how."""
    ended, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in ended:
        cpv = running.pop(future)
        try:
            built[cpv] = future.result()
        except ColvertError as error:
            failures.append(error)
        else:
            done(cpv)


# Set when a build is interrupted: every package build still running is stopped.
CANCELLED = threading.Event()


def gives(entry: Entry) -> str:
    """Digest of what a package gives to those that are built on it."""
    return (entry.out / "gives").read_text()


def _watch(prepared: Command, log: Path, phase: Phase) -> int:
    """Run a build, telling its phases as they appear in its log; returns its exit status."""
    seen = 0
    with start(prepared, log=log) as process:
        while True:
            try:
                status = process.wait(0.5)
            except TimeoutExpired:
                status = None
            with log.open("rb") as stream:
                stream.seek(seen)
                text = stream.read()
            whole = text[: text.rfind(b"\n") + 1]
            seen += len(whole)
            for line in whole.decode("utf-8", "replace").splitlines():
                hit = PHASES.match(line)
                if hit:
                    phase(hit[1].lower())
            if status is not None:
                return status
            if CANCELLED.is_set():
                stop(process)
                return 130


def _pinned(settings: Settings, node: Node) -> Settings:
    """The settings of one build: USE is exactly the plan's."""
    flags = [flag if flag in node.use else f"-{flag}" for flag in node.iuse]
    return Settings(settings.overlays, settings.profile, {f"={node.cpv}": flags} if flags else {})


def _copy_overlay(overlay: Overlay, target: Path, node: Node) -> None:
    """What a build sees of an overlay: profiles, eclasses, licences and its own package."""
    for name in ("profiles", "metadata", "eclass", "licenses"):
        if (overlay.path / name).is_dir():
            shutil.copytree(overlay.path / name, target / name, symlinks=True)
    if overlay.name == node.repository:
        folder = Path(node.ebuild).parent
        shutil.copytree(overlay.path / folder, target / folder, symlinks=True)


def _link(source: Path, target: Path) -> None:
    """A second name for a file, or a copy where the file system has no hard links left."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def link_tree(source: Path, target: Path) -> None:
    """Lay a directory over another by hard links; an existing file is an error."""
    target.mkdir(parents=True, exist_ok=True)
    base = str(target)
    for name, entry in walk(source):
        there = f"{base}/{name}"
        if entry.is_symlink():
            text = os.readlink(entry.path)
            if not (os.path.islink(there) and os.readlink(there) == text):
                os.symlink(text, there)
        elif entry.is_dir():
            os.makedirs(there, exist_ok=True)
        else:
            _link(Path(entry.path), Path(there))
