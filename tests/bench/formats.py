"""Benchmark: all targets of one disk, against each other and against the tools a person would use.

Ours is the whole of a target as `colvert build` makes it once the disk is there: packing, the
OEM partition, the files, their digests. By hand there is the file's conversion and nothing
else, with the SDK's own qemu-img, tar and gzip, on the same disk, one after the other.
At the end the same as whole commands, `build-image --target all` and one target alone, for a
new version and from stored packages, since that is what somebody waits for.

usage: python -m tests.bench.formats [--home DIR] [--disk FILE | --synthetic]
"""

from __future__ import annotations

import itertools
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import click

from builder.arch import DEFAULT
from builder.build.blueprint import Blueprint
from builder.build.disk import DISK
from builder.build.session import DEFAULT_MANIFEST, Request, Session, open_session
from builder.build.targets import ALL
from builder.formats.gpt import Contents
from builder.pipeline.events import Events
from builder.pipeline.executor import Executor
from builder.pipeline.scheduler import Job, Scheduler, closure
from builder.pipeline.stage import Stage, Work
from builder.pipeline.store import Store
from builder.platforms import PLATFORMS
from builder.sandbox.home import open_home
from builder.tools.oem import make_oem
from builder.tools.sfdisk import make_disk
from builder.tools.verity import make_verity
from builder.tools.workspace import Bench, bench
from tests.bench.measure import MIB, PROJECT, Row, become_subreaper, colvert, cost, show
from tests.build.places import open_place
from tests.releases import make

# all targets together / the slowest of them alone
BAR_ALL = 1.5
SLOWEST = "vagrant"
QCOW2 = "qemu-img convert -f raw -O qcow2 -c {disk} {out}/box.img"
STREAM = "qemu-img convert -f raw -O vmdk -o subformat=streamOptimized {disk} {out}/s.vmdk"
SPARSE = "qemu-img convert -f raw -O vmdk -o subformat=monolithicSparse {disk} {out}/m.vmdk"
RAW = "cp --sparse=always {disk} {out}/disk.raw"
BOXED = ("box.img", "s.vmdk", "m.vmdk")
BY_HAND: Mapping[str, Sequence[str]] = {
    "brightbox": [QCOW2],
    "ec2": [STREAM, RAW],
    "eucalyptus": [RAW],
    "gce": [RAW, "tar -C {out} --format=oldgnu -Sc disk.raw | gzip > {out}/disk.tar.gz"],
    "libvirt": [QCOW2],
    "openstack": [QCOW2],
    "qemu": [QCOW2],
    "rackspace": ["qemu-img convert -f raw -O vpc -o subformat=dynamic,force_size=on {disk} {out}/disk.vhd"],
    "vagrant": [
        QCOW2, STREAM, SPARSE,
        *(f"tar -C {{out}} -c {name} | gzip > {{out}}/{name}.box" for name in BOXED),
    ],
    "vmware": [STREAM, SPARSE, "tar -C {out} -cf {out}/machine.ova s.vmdk"],
}  # fmt: skip


def spent(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of wall and of processor, also of what bubblewrap leaves to be reaped."""

    def processor() -> float:
        kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, kinds))

    before, started = processor(), time.monotonic()
    work()
    wall = time.monotonic() - started
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
        except ChildProcessError:
            return wall, processor() - before


def synthetic(scratch: Path, sdk_root: Path) -> Path:
    """A disk like the default one: 48 MiB that do not compress, 8 that do."""
    numbers = random.Random(1)
    usr, verity, esp, oem = (scratch / name for name in ("usr", "verity", "esp", "oem"))
    text = b"".join(b"%d bottles of beer\n" % numbers.randrange(10**6) for _ in range(400_000))
    usr.write_bytes(numbers.randbytes(34 * MIB) + text[: 7 * MIB])
    esp.write_bytes(numbers.randbytes(14 * MIB) + text[:MIB])
    made = make_verity(usr, verity, sdk_root=sdk_root, identity="bench 1")
    make_oem(None, oem, sdk_root=sdk_root, size=256 * MIB, epoch=0, identity="bench 1")
    contents = Contents(
        "bench", "1", esp, usr, verity, made.data_uuid, made.hash_uuid, oem, architecture=DEFAULT
    )
    return make_disk(contents, scratch / "disk.raw", sdk_root=sdk_root)


@dataclass(frozen=True)
class TheDisk(Stage):
    """The disk that is measured, in the place of one that is built."""

    name: ClassVar[str] = "disk"

    path: str

    @property
    def label(self) -> str:
        return "bench"

    def run(self, work: Work) -> None:
        os.link(self.path, work.out / DISK)


class Ours:
    """Makes targets with a store of their own, which has the disk and nothing else."""

    def __init__(self, session: Session, disk: Path, scratch: Path) -> None:
        self.session = session
        self.disk = TheDisk(str(disk))
        self.scratch = scratch

    def make(self, names: Sequence[str]) -> tuple[float, float]:
        root = self.scratch / "store"
        session = self.session
        executor = Executor(Store(root), Events(), session.sdk, session.home.local())
        executor.obtain(self.disk)
        platforms = [PLATFORMS[name] for name in names]
        jobs = [job for job in Blueprint(session).jobs(platforms) if job.name != "disk"]
        jobs.append(Job("disk", ("disk", "bench"), (), lambda _done: self.disk))
        wanted = closure(jobs, [f"image:{name}" for name in names])
        scheduler = Scheduler(executor, session.scheduler.capacity)
        taken = spent(lambda: scheduler.run(wanted))
        shutil.rmtree(root)
        return taken


class Commands:
    """Runs `build-image` for a new version, as after a commit: what is stored are the packages.

    It has a home of its own with a copy of the store, so nothing is left in the user's.
    """

    def __init__(self, home: Path, scratch: Path) -> None:
        self.home = scratch / "home"
        self.scratch = scratch
        self.runs = itertools.count(1)
        self.home.mkdir(mode=0o755)
        for name in ("sdk", "distfiles"):
            (self.home / name).symlink_to(home / name)
        subprocess.run(["cp", "-a", "--reflink=auto", home / "store", self.home / "store"], check=True)

    def seconds(self, target: str) -> float:
        """How long one target takes, or all of them."""
        manifest = self.scratch / "bench.yaml"
        base = str(PROJECT / DEFAULT_MANIFEST)
        manifest.write_text(json.dumps({"include": [base], "version": f"0.{next(self.runs)}", "epoch": 1}))
        words = ("--home", self.home, "--manifest", manifest, "--out", self.scratch / "out")
        return cost(colvert("build", "--json", "--target", target, *words), stdout=self.scratch / "log").wall


def commands(home: Path, scratch: Path) -> Row:
    """All targets against the slowest alone, both as whole commands; medians of three."""
    run = Commands(home, scratch)
    run.seconds("qemu")
    times = {target: [run.seconds(target) for _ in range(3)] for target in (SLOWEST, ALL)}
    alone, together = (statistics.median(times[target]) for target in (SLOWEST, ALL))
    bar = f"{BAR_ALL} x {alone:.2f} s ({SLOWEST} alone)"
    what = "`--target all`, against the slowest alone"
    return Row(what, f"{together:.2f} s", bar, together / (BAR_ALL * alone))


def by_hand(table: Bench, name: str) -> tuple[float, float]:
    """The commands of a target, one after the other."""
    places = {"disk": table.source("disk"), "out": table.target("")}
    script = "\n".join(line.format(**places).replace("//", "/") for line in BY_HAND[name])
    taken = spent(lambda: table.run("bash", "-e", "-o", "pipefail", "-c", script))
    for path in table.work.iterdir():
        path.unlink()
    return taken


def rows(session: Session, disk: Path, scratch: Path) -> list[Row]:
    become_subreaper()
    ours = Ours(session, disk, scratch)
    found = [Row("data in the disk", f"{disk.stat().st_blocks * 512 / MIB:.1f} MiB")]
    alone: dict[str, float] = {}
    hand_all = [0.0, 0.0]
    with bench(scratch / "hand", session.sdk.root, {"disk": disk}) as table:
        for name in PLATFORMS:
            mine, theirs = ours.make([name]), by_hand(table, name)
            alone[name] = mine[0]
            hand_all = [a + b for a, b in zip(hand_all, theirs, strict=True)]
            found.append(_row(f"{name} alone, against by hand", mine, theirs))
    together = ours.make(list(PLATFORMS))
    slowest = max(alone, key=lambda name: alone[name])
    found.append(_row("all targets, against all by hand", together, (hand_all[0], hand_all[1])))
    told = f"{alone[slowest]:.2f} s ({slowest} alone)"
    ratio = together[0] / alone[slowest]
    found.append(Row("all targets, against the slowest alone", f"{together[0]:.2f} s", told, ratio))
    return found


def _row(what: str, mine: tuple[float, float], theirs: tuple[float, float]) -> Row:
    measured = f"{mine[0]:.2f} s wall, {mine[1]:.2f} s processor"
    return Row(what, measured, f"{theirs[0]:.2f} s wall, {theirs[1]:.2f} s processor", mine[0] / theirs[0])


@click.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Home directory with the SDK and the store [COLVERT_HOME].",
)
@click.option("--disk", type=click.Path(path_type=Path, exists=True), help="A disk that was built.")
@click.option("--synthetic", "made_up", is_flag=True, help="A disk like it, without building anything.")
def main(home: Path | None, disk: Path | None, made_up: bool) -> None:
    place = open_home(home).root
    session = open_session(Request(PROJECT / DEFAULT_MANIFEST, place), Events())
    with open_place(place) as scratch:
        if made_up:
            disk = synthetic(scratch, session.sdk.root)
        elif disk is None:
            disk = make(session, "disk").path("disk", DISK)
        here = scratch / "the disk.raw"
        subprocess.run(["cp", "--sparse=always", disk, here], check=True)
        here.chmod(0o644)
        show([*rows(session, here, scratch), commands(place, scratch)])


if __name__ == "__main__":
    main()
