"""Benchmark: a build with nothing to do, beside the time that hashing all of its inputs takes.

usage: python -m tests.bench.noop [--runs N] [--home DIR]
"""

from __future__ import annotations

import time
from pathlib import Path

import click

from builder.pipeline.key import digest_tree
from builder.sandbox.home import open_home
from tests.bench.measure import PROJECT, against, colvert, cost, show, stages_run
from tests.build.places import open_place

BAR_SECONDS = 1.0
INPUTS = ("overlays", "manifests", "builder")


def hashing() -> float:
    """Seconds to read and hash every file of the project that a build depends on."""
    started = time.monotonic()
    for name in INPUTS:
        digest_tree(PROJECT / name)
    return time.monotonic() - started


@click.command()
@click.option("--runs", default=5, show_default=True)
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Home directory with the SDK and the store [COLVERT_HOME].",
)
def main(runs: int, home: Path | None) -> None:
    place = open_home(home)
    with open_place(place.root) as scratch:
        build = colvert("build", "--json", "--home", place.root, "--out", scratch / "out")
        cost(build, stdout=scratch / "first.json")  # builds what the store lacks
        walls, cpus = [], []
        for number in range(runs):
            log = scratch / f"{number}.json"
            spent = cost(build, stdout=log)
            if stages_run(log):
                raise SystemExit(f"something was built: {stages_run(log)}")
            walls.append(spent.wall)
            cpus.append(spent.cpu)
        starting = [cost(colvert("targets")).wall for _ in range(runs)]
        hashed = [hashing() for _ in range(runs)]
    show(
        [
            against("nothing changed, wall", walls, BAR_SECONDS),
            against("the same, processor", cpus, BAR_SECONDS),
            against("of it: the interpreter and our modules, wall", starting, BAR_SECONDS),
            against("of it: reading and hashing all inputs, wall", hashed, BAR_SECONDS),
        ]
    )


if __name__ == "__main__":
    main()
