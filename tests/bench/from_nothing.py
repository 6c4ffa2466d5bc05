"""Benchmark: from an empty home to a machine that has booted: SDK, sources, every package, image, login.

The home must not exist; it needs 12 GiB and stays, so that the logs and the trace can be looked at.

usage: python -m tests.bench.from_nothing HOME [-- argument of colvert build]...
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from tests.bench.measure import Cost, Row, against, colvert, cost, show, stages_run

BAR_SECONDS = 40 * 60.0
BAR_RATIO = 1.2


def rows(steps: dict[str, Cost], packages: int) -> list[Row]:
    """The table; compiling is what the step `build` spends its processor seconds on."""
    cores = os.cpu_count() or 1
    wall = sum(step.wall for step in steps.values())
    whole = steps["build"].cpu / cores
    return [
        against("from nothing to the login prompt, wall", [wall], BAR_SECONDS, digits=0),
        against(
            f"the same in units of (processor seconds of the build / {cores} cores = {whole:.0f} s)",
            [wall / whole],
            BAR_RATIO,
            "x",
        ),
        *(
            Row(f"{name}", f"{step.wall:.0f} s wall, {step.cpu:.0f} s processor")
            for name, step in steps.items()
        ),
        Row("packages compiled", str(packages)),
        Row("largest process", f"{max(step.peak for step in steps.values()) >> 20} MiB"),
    ]


@click.command()
@click.argument("home", type=click.Path(path_type=Path, exists=False))
@click.argument("words", nargs=-1)
def main(home: Path, words: tuple[str, ...]) -> None:
    if home.exists():
        raise SystemExit(f"{home} exists: from nothing means that it does not")
    home = home.absolute()
    home.mkdir(mode=0o755, parents=True)
    place, out, log = ("--home", home), ("--out", home / "out"), home / "build.json"
    env = {"COLVERT_HOME": str(home)}
    steps = {
        "SDK": cost(colvert("sdk", *place, "show"), env=env),
        "build": cost(
            colvert("build", "--json", "--trace", home / "trace.json", *place, *out, *words),
            stdout=log,
            env=env,
        ),
        "boot": cost(colvert("run", "--until", "login", *place, *out), env=env),
    }
    show(rows(steps, sum(stage == "package" for stage, _, _ in stages_run(log))))


if __name__ == "__main__":
    main()
