"""Benchmark: from switching on to multi-user.target, our image against Debian's, in alternation.

Both run on the same virtual hardware under TCG, where a boot's time is the number of
instructions it takes, whatever the machine has for KVM. `debian/make` makes the other image.

usage: python -m tests.bench.boot OURS.qcow2 DEBIAN.raw [--runs N] [--home DIR]
"""

from __future__ import annotations

import re
import statistics
from pathlib import Path

import click

from builder.machine.accel import Accel
from builder.machine.files import Host, machine
from builder.machine.probe import boot
from builder.machine.qemu import MachineSpec
from builder.pipeline.events import Events
from builder.sandbox.home import open_home
from builder.sandbox.sdk import ensure_sdk
from tests.bench.measure import Row, against, show

BAR_RATIO = 0.6
TIMEOUT = 600.0
# as systemd says it on the console, with StatusUnitFormat=name, description or combined
MULTI_USER = re.compile(r"Reached target .*(multi-user\.target|Multi-User System)")
# where the firmware ends that finds nothing to start
SHELL = re.compile(r"UEFI Interactive Shell")


def seconds(image: Path, host: Host, cpus: int) -> float:
    """Seconds from QEMU's start until a fresh machine of that image reaches multi-user.target."""
    spec = MachineSpec(image, memory=1024, cpus=cpus, isolated=True, reboot=False, accel=Accel.TCG)
    with machine(spec, host) as made, boot(made) as running:
        found = running.wait_for(re.compile(f"{MULTI_USER.pattern}|{SHELL.pattern}"), TIMEOUT)
        if SHELL.search(found[0]):
            raise SystemExit(f"the firmware finds nothing to start on {image}")
        return running.seconds()


@click.command()
@click.argument("ours", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("debian", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--runs", default=3, show_default=True, help="Boots of each.")
@click.option("--cpus", default=2, show_default=True, help="Processors of the machine.")
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Home directory with the SDK and the store [COLVERT_HOME].",
)
def main(ours: Path, debian: Path, runs: int, cpus: int, home: Path | None) -> None:
    place = open_home(home)
    host = Host(ensure_sdk(place, Events()).root, place.root / "machines", Path(".colvert").absolute())
    times: dict[Path, list[float]] = {ours: [], debian: []}
    for _ in range(runs):
        for image, taken in times.items():
            taken.append(seconds(image, host, cpus))
            click.echo(f"{image.name}: {taken[-1]:.1f} s", err=True)
    theirs = statistics.median(times[debian])
    ratio = statistics.median(times[ours]) / theirs
    show(
        [
            against("ours, firmware to multi-user.target", times[ours], BAR_RATIO * theirs, digits=1),
            Row("Debian by mkosi, likewise", ", ".join(f"{one:.1f} s" for one in times[debian])),
            Row("ours / Debian", f"{ratio:.2f}", f"{BAR_RATIO}", ratio / BAR_RATIO),
        ]
    )


if __name__ == "__main__":
    main()
