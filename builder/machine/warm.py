"""Stage `warm`: one boot of a machine, kept as a snapshot from which others go on in seconds.

The guest is stopped when systemd has no job left, and QEMU writes its memory and devices to a file (a
migration to nowhere). What is restored is that guest again, with its machine id, host keys and all that it
held in memory; a new generation id (vmgenid) makes its kernel take other random numbers, and its clock
shows the old time until `set_clock`. Not for what the boot itself shows.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import ClassVar

from builder.errors import Code, ColvertError
from builder.machine.accel import Accel
from builder.machine.files import Host, machine
from builder.machine.guest import Guest
from builder.machine.probe import Running, boot
from builder.machine.qemu import DISK_PATH, MEMORY, RUN_DIR, Bus, MachineSpec, Nic
from builder.pipeline.artifact import Artifact
from builder.pipeline.stage import Stage, Work

SETTLE_SECONDS = 600.0
SAVE_SECONDS = 120.0
END_SECONDS = 30.0
# bytes a second; QEMU's own limit is made for networks
BANDWIDTH = 1 << 40
# What says on the console that the boot is over, also where nobody can log in.
SETTLED = re.compile(r"colvert-settled: (\S+)")
CREDENTIALS: Mapping[str, str] = {
    "systemd.extra-unit.colvert-settled.service": """[Unit]
Description=Report that the boot is over
[Service]
Type=exec
ExecStart=/bin/sh -c 'echo "colvert-settled: $$(systemctl is-system-running --wait)" > /dev/console'
""",
    "systemd.unit-dropin.multi-user.target": "[Unit]\nWants=colvert-settled.service\n",
}
# the file in the artifact of the disk
DISK = "disk"
# of a specification what is no part of the machine that is kept: each restored one has its own
OWN = ("forwards", "accel", "disk")


@dataclass(frozen=True)
class WarmMachine(Stage):
    """out/memory, out/disk.qcow2 (a layer above the disk), out/vars.fd and out/console.log."""

    name: ClassVar[str] = "warm"

    # one file, called DISK: any name and format
    disk: Artifact
    # the machine, as MachineSpec has it
    memory: int
    cpus: int
    disk_size: int | None
    bus: Bus
    nic: Nic
    credentials: Mapping[str, str | bytes]
    smbios: Mapping[int, Mapping[str, str]]
    isolated: bool
    display: bool

    @classmethod
    def of(cls, spec: MachineSpec, disk: Artifact) -> WarmMachine:
        """The warm machine of a specification. Raises USAGE for one that cannot be restored."""
        if problem := unfit(spec):
            raise ColvertError(Code.USAGE, f"a machine with {problem} cannot be restored from a snapshot")
        return cls(disk, **{name: getattr(spec, name) for name in _kept()})

    @property
    def label(self) -> str:
        return f"{self.memory} MiB, disk {self.disk.digest[:12]}"

    def spec(self, disk: Path) -> MachineSpec:
        """The machine that is booted."""
        spec = MachineSpec(disk, accel=Accel.TCG, **{name: getattr(self, name) for name in _kept()})
        return replace(spec, credentials={**self.credentials, **CREDENTIALS})

    def run(self, work: Work) -> None:
        # nobody logs in, so the state has no key
        host = Host(work.sdk.root, work.scratch / "machines", work.scratch / "state")
        work.phase("booting")
        with machine(self.spec(work.path(self.disk) / DISK), host) as made, boot(made) as running:
            running.wait_login()
            work.phase("settling")
            _settle(running)
            work.phase("saving")
            save(running, work.out)


def _kept() -> list[str]:
    """The fields that a warm machine and a specification have in common, but the disk."""
    return [item.name for item in fields(WarmMachine) if item.name != "disk"]


def unfit(spec: MachineSpec) -> str:
    """The parts of a specification that prevent a snapshot; empty if it can be restored."""
    plain = MachineSpec(spec.disk)
    names = [item.name for item in fields(spec) if item.name not in (*_kept(), *OWN)]
    found = [name for name in names if getattr(spec, name) != getattr(plain, name)]
    if spec.accel is Accel.KVM:
        # the host's own processor is in its memory
        found.append("accel kvm")
    if CREDENTIALS.keys() & spec.credentials.keys():
        found.append("custom units")
    return ", ".join(found)


def _settle(running: Running) -> None:
    """Wait until systemd has no job left. Raises BOOT_FAILED for a boot that had trouble."""
    verdict = running.wait_for(SETTLED, SETTLE_SECONDS)[1]
    problems = [str(problem) for problem in running.problems()]
    if verdict != "running" or problems:
        raise ColvertError(
            Code.BOOT_FAILED,
            f"the machine booted, but systemd reports it as {verdict}",
            detail=problems[:20] or running.console.tail(),
        )


def save(running: Running, out: Path) -> None:
    """Stop a machine, write its state and end it; its files are in `out` then."""
    made, qmp = running.machine, running.qmp
    qmp.execute("stop")
    qmp.execute("migrate-set-parameters", {"max-bandwidth": BANDWIDTH})
    qmp.execute("migrate", {"uri": f"file:{RUN_DIR}/{MEMORY}"})
    end = time.monotonic() + SAVE_SECONDS
    while (state := qmp.execute("query-migrate"))["status"] != "completed":
        if state["status"] == "failed" or time.monotonic() > end:
            raise ColvertError(
                Code.BOOT_FAILED, f"QEMU did not save the machine: {state.get('error-desc', 'no answer')}"
            )
        time.sleep(0.02)
    qmp.execute("quit")
    running.wait_end(END_SECONDS)
    disk = made.disk / Path(DISK_PATH).name
    for path in (disk, made.variables, made.run / MEMORY, made.console_log):
        path.chmod(0o644)
        shutil.move(path, out / path.name)


def set_clock(guest: Guest) -> None:
    """Set the clock of a restored guest to the host's."""
    guest.run(f"date --utc --set=@{time.time():.0f}")
