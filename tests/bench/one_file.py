"""Benchmark: one file of a small package changed, from the package to the qcow2.

A copy of manifests and overlays gets a new line in one configuration file of
sys-apps/colvert-init before each build, so no build finds its result in the store.

usage: python -m tests.bench.one_file [--runs N] [--home DIR]
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import click

from builder.build.session import DEFAULT_MANIFEST
from builder.manifest.load import load
from builder.sandbox.home import open_home
from tests.bench.measure import PROJECT, Row, against, colvert, cost, show, stages_run
from tests.build.places import open_place

BAR_SECONDS = 20.0
PACKAGE = "sys-apps/colvert-init"
FILE = f"overlays/colvert/{PACKAGE}/files/usr/lib/sysctl.d/50-colvert.conf"


@click.command()
@click.option("--runs", default=3, show_default=True)
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Home directory with the SDK and the store [COLVERT_HOME].",
)
def main(runs: int, home: Path | None) -> None:
    place = open_home(home)
    loaded = load(PROJECT / DEFAULT_MANIFEST)
    with open_place(place.root) as scratch:
        for name in ("manifests", "overlays"):
            shutil.copytree(PROJECT / name, scratch / name, symlinks=True)
        build = colvert("build", "--json", "--home", place.root, "--out", scratch / "out")
        # the copy has no git: what the checkout says of itself
        build += ["--set", f"version={loaded.version}", "--set", f"epoch={loaded.epoch}"]
        cost(build, stdout=scratch / "first.json", cwd=scratch)  # builds what the store lacks
        walls, cpus, log = [], [], scratch / "first.json"
        for number in range(runs):
            with (scratch / FILE).open("a") as stream:
                stream.write(f"# {time.time()}\n")
            log = scratch / f"{number}.json"
            spent = cost(build, stdout=log, cwd=scratch)
            compiled = [label for stage, label, _ in stages_run(log) if stage == "package"]
            if [name for name in compiled if not name.startswith(f"{PACKAGE}-")] or not compiled:
                raise SystemExit(f"not only {PACKAGE} was built, but {compiled}")
            walls.append(spent.wall)
            cpus.append(spent.cpu)
        ran = stages_run(log)
    show(
        [
            against(f"one file of {PACKAGE} changed, wall", walls, BAR_SECONDS, digits=1),
            against("the same, processor", cpus, BAR_SECONDS, digits=1),
            *(Row(f"in the last run: {stage} {label}", f"{spent:.1f} s") for stage, label, spent in ran),
        ]
    )


if __name__ == "__main__":
    main()
