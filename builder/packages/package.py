"""Stage `package`: one package of a plan, compiled by Portage in a sandbox of its own.

The sandbox holds the SDK, the recipe (the files of the overlays that reach this package), its sources, and a
sysroot: copies of the declared build dependencies and what those need at run time. Nothing else is in
sight, and all of it is in the key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import TimeoutExpired
from typing import ClassVar

from builder.errors import Code, ColvertError, Location
from builder.packages.distfile import Source
from builder.packages.portage.config import (
    ENVIRONMENT,
    SYSROOT,
    TMPFS,
    Configuration,
    Repository,
    binds,
    write_config,
)
from builder.pipeline.artifact import Artifact, Part
from builder.pipeline.checkout import lay
from builder.pipeline.inside import Inside
from builder.pipeline.stage import Local, Phase, Stage, Toolchain, Work
from builder.sandbox.run import Bind, Command, Sandbox, command, hand_over, start, stop

HERE = Path(__file__).parent
DATA = ("portage/build.sh",)
IMAGE, VDB, GPKG = "image", "vdb", "package.gpkg.tar"
PHASES = re.compile(
    r"^>>> (Unpacking|Preparing|Configuring|Compiling|Install(?:ing)?|Completed installing)\b"
)
TAIL = 40
INTERRUPTED = 130


@dataclass(frozen=True)
class Dependency:
    """A package in the sysroot: its files, and what Portage's database says of it to others."""

    cpv: str
    image: Part
    vdb: Part


@dataclass(frozen=True)
class Package(Stage):
    """The stage that compiles one package: out/package.gpkg.tar, out/image and out/vdb."""

    name: ClassVar[str] = "package"

    cpv: str
    slot: str
    repository: str
    # the ebuild's path in its repository
    ebuild: str
    use: tuple[str, ...]
    iuse: tuple[str, ...]
    repositories: tuple[Repository, ...]
    profile: str
    recipe: Artifact
    sources: tuple[Source, ...]
    dependencies: tuple[Dependency, ...]
    # kernel configuration fragments, in order
    fragments: Artifact | None = None

    @property
    def label(self) -> str:
        return self.cpv

    @property
    def category(self) -> str:
        return self.cpv.partition("/")[0]

    @property
    def pf(self) -> str:
        return self.cpv.partition("/")[2]

    def run(self, work: Work) -> None:
        room = self.lay_out(work)
        hand_over(work.out)
        log = log_path(work.local, self.cpv, work.key)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        prepared = self.command(room, work)
        status = _watch(prepared, log, work)
        if status:
            raise self._failed(status, room, log, work)

    def _failed(self, status: int, room: Room, log: Path, work: Work) -> ColvertError:
        """Keep the build root for `colvert shell`; returns the error."""
        kept = failed_path(work.local, self.cpv, work.key)
        kept.parent.mkdir(parents=True, exist_ok=True)
        if kept.exists():
            # the same key failed before: its room goes with this build's scratch
            kept.rename(work.scratch / "earlier")
        room.path.rename(kept)
        return ColvertError(
            Code.PACKAGE_FAILED,
            f"{self.cpv} failed to build (status {status})",
            where=Location(str(log)),
            detail=log.read_text(errors="replace").splitlines()[-TAIL:],
            hint=f"colvert shell {self.category}/{self.pf}   (enters that sandbox as it was left)",
        )

    def lay_out(self, work: Work) -> Room:
        """Lay out what the sandbox is made of."""
        room = Room(hand_over(work.scratch / "room"))
        flags = [flag if flag in self.use else f"-{flag}" for flag in self.iuse]
        configuration = Configuration(
            self.repositories, self.profile, {f"={self.cpv}": flags} if flags else {}
        )
        write_config(configuration, room.path / "config", [HERE / "portage/build.sh"])
        work.checkout(self.recipe, room.repositories)
        self._complete_recipe(room)
        self._sysroot(room, work)
        room.distfiles.mkdir()
        for source in self.sources:
            # where a sandbox binds the file
            (room.distfiles / source.name).touch()
        if self.fragments is not None:
            work.checkout(self.fragments, room.fragments)
        hand_over(room.tmp)
        return room

    def _complete_recipe(self, room: Room) -> None:
        """Write what Portage wants of a repository and what the fields already say."""
        with Inside(room.repositories) as place:
            place.write(f"{self.repository}/profiles/categories", f"{self.category}\n".encode())
            folder = self.ebuild.rpartition("/")[0]
            text = "".join(source.line for source in self.sources)
            place.write(f"{self.repository}/{folder}/Manifest", text.encode())

    def _sysroot(self, room: Room, work: Work) -> None:
        room.sysroot.mkdir()
        owners: dict[str, str] = {}
        with Inside(room.sysroot, code=Code.PACKAGE_FAILED, whose=lambda name: owners.get(name, "")) as place:
            for one in self.dependencies:
                for part, prefix in ((one.image, ""), (one.vdb, f"var/db/pkg/{one.cpv}/")):
                    if prefix:
                        place.make_directory(prefix.rstrip("/"))
                    items = work.reader.index(part)
                    try:
                        lay(work.path(part), items, place, prefix)
                    except FileExistsError as error:
                        raise self._collision(str(error.filename), one, owners) from error
                    owners.update({f"{prefix}{item.name}": one.cpv for item in items})

    def _collision(self, name: str, one: Dependency, owners: Mapping[str, str]) -> ColvertError:
        return ColvertError(
            Code.PACKAGE_FAILED,
            f"{self.cpv} needs {owners.get(name, 'two packages')} and {one.cpv}, and both install /{name}",
            hint="let one of the ebuilds not install it",
        )

    def sandbox(self, room: Room, out: Path, sdk: Toolchain, local: Local) -> Sandbox:
        """The sandbox of the build: no network, nothing of the host but what is in the room."""
        extra = [Bind(room.fragments, "/build/kernel.config.d")] if room.fragments.is_dir() else []
        sources = [
            Bind(source.check(local.distfiles / source.name), f"/build/distfiles/{source.name}")
            for source in self.sources
        ]
        return Sandbox(
            sdk.root,
            (
                *binds(sdk, room.path / "config", room.repositories),
                Bind(room.distfiles, "/build/distfiles"),
                *sources,
                Bind(room.sysroot, SYSROOT),
                Bind(room.tmp, "/build/tmp", writable=True),
                Bind(out, "/build/out", writable=True),
                Bind(local.slots, "/run/compile-slots"),
                *extra,
            ),
            TMPFS,
        )

    def command(self, room: Room, work: Work) -> Command:
        """What builds the package, ready to be started."""
        ebuild = f"/build/repos/{self.repository}/{self.ebuild}"
        return command(
            ["/bin/bash", "/build/scripts/build.sh", ebuild, self.category, self.pf],
            sandbox=self.sandbox(room, work.out, work.sdk, work.local),
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


def log_path(local: Local, cpv: str, key: str) -> Path:
    """The log of a package's build; two builds of one name have two."""
    return local.logs / f"{cpv}-{key[:12]}.log"


def failed_path(local: Local, cpv: str, key: str) -> Path:
    """Where the build root of a failed build is kept."""
    return local.failed / f"{cpv}-{key[:12]}"


def latest_failure(local: Local, cpv: str) -> Path | None:
    """The build root that the last failed build of a package left, under whatever key."""
    category, _, pf = cpv.partition("/")
    found = [path for path in (local.failed / category).glob(f"{pf}-*") if path.is_dir()]
    found = [path for path in found if re.fullmatch("[0-9a-f]{12}", path.name.removeprefix(f"{pf}-"))]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def _watch(prepared: Command, log: Path, work: Work) -> int:
    """Run a build, reporting its phases as they appear in its log; returns its exit status."""
    seen = 0
    with start(prepared, log=log) as process:
        while True:
            try:
                status = process.wait(0.5)
            except TimeoutExpired:
                status = None
            seen = _report_phases(log, seen, work.phase)
            if status is not None:
                return status
            if work.local.cancelled():
                stop(process)
                return INTERRUPTED


def _report_phases(log: Path, seen: int, phase: Phase) -> int:
    """Report the phases that a log names from byte `seen` on; returns how far it was read."""
    with log.open("rb") as stream:
        stream.seek(seen)
        text = stream.read()
    whole = text[: text.rfind(b"\n") + 1]
    for line in whole.decode("utf-8", "replace").splitlines():
        hit = PHASES.match(line)
        if hit:
            phase(hit[1].lower())
    return seen + len(whole)
