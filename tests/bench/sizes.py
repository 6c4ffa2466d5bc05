"""Benchmark: how large the default image is, and how much memory putting it together takes.

Sizes are those of the files, not of what they take on disk. For the memory everything after
the packages is made again (under another name, so that the store does not have it); the sum
of all its processes' resident memory is looked at twenty times a second.

usage: python -m tests.bench.sizes [--home DIR]
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import click

from builder.build.initrd import INITRD
from builder.build.session import DEFAULT_MANIFEST, Request, open_session
from builder.build.uki import UKI
from builder.build.usr import USR, VERITY
from builder.pipeline.events import Events
from builder.platforms import PLATFORMS
from builder.sandbox.home import open_home
from tests.bench.measure import MIB, PROJECT, Row, against, colvert, cost, show, stages_run
from tests.build.places import open_place
from tests.releases import make

BARS = {"usr image": 64, "UKI": 16, "qcow2": 96}
BAR_MEMORY = 2048
PAGE = os.sysconf("SC_PAGE_SIZE")


def sizes(home: Path) -> list[Row]:
    """The image's parts as the store has them; builds what it lacks."""
    session = open_session(Request(PROJECT / DEFAULT_MANIFEST, home), Events())
    made = make(session, "image:qemu", platforms=[PLATFORMS["qemu"]])
    [qcow2] = made.path("image:qemu").glob("*.qcow2")
    files = {"usr image": made.path("usr", USR), "UKI": made.path("uki", UKI), "qcow2": qcow2}
    rows = [
        against(what, [path.stat().st_size / MIB], BARS[what], "MiB", digits=1)
        for what, path in files.items()
    ]
    for what, path in (
        ("hash tree", made.path("usr", VERITY)),
        ("initrd, in the UKI", made.path("initrd", INITRD)),
    ):
        rows.append(Row(what, f"{path.stat().st_size / MIB:.1f} MiB"))
    return rows


def resident(root: int) -> int:
    """Bytes in memory of a process and all below it; pages that they share count for each."""
    total, todo = 0, [root]
    while todo:
        pid = todo.pop()
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
            for task in Path(f"/proc/{pid}/task").iterdir():
                todo += map(int, (task / "children").read_text().split())
        except (OSError, ValueError, IndexError):
            continue  # it has just ended
    return total


class Watch(threading.Thread):
    """Looks at the memory of everything that this process has started."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self.own = resident(os.getpid())
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.05):
            self.peak = max(self.peak, resident(os.getpid()) - self.own)


def memory(home: Path) -> list[Row]:
    """Make everything after the packages again, and watch it."""
    with open_place(home) as scratch:
        log, name = scratch / "events.json", f"name=Benchmark {time.time_ns():x}"
        watch = Watch()
        watch.start()
        build = colvert("build", "--json", "--home", home, "--out", scratch / "out", "--set", name)
        spent = cost(build, stdout=log)
        watch.over.set()
        watch.join()
        ran = stages_run(log)
    if not ran or any(stage == "package" for stage, _, _ in ran):
        raise SystemExit(f"this measured something else than assembly: {ran}")
    return [
        against("memory of assembly, all processes", [watch.peak / MIB], BAR_MEMORY, "MiB", digits=0),
        against("memory of assembly, largest process", [spent.peak / MIB], BAR_MEMORY, "MiB", digits=0),
        Row("assembly", f"{spent.wall:.1f} s wall, {spent.cpu:.1f} s processor"),
        *(Row(f"of it: {stage}", f"{seconds:.1f} s") for stage, _, seconds in ran),
    ]


@click.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Home directory with the SDK and the store [COLVERT_HOME].",
)
def main(home: Path | None) -> None:
    place = open_home(home).root
    show([*sizes(place), *memory(place)])


if __name__ == "__main__":
    main()
