"""Booted: a machine of a boot test that runs, the way into it, and the place where its disk was made."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.machine.credentials import ssh_credentials
from builder.machine.files import Host, Machine, machine
from builder.machine.guest import Guest
from builder.machine.probe import LOGIN_SECONDS, Running, boot
from builder.machine.qemu import Forward, MachineSpec
from builder.machine.warm import set_clock

# a machine under TCG shares the cores with whatever else runs here
BOOT_SECONDS = 2 * LOGIN_SECONDS
SETTLE_SECONDS = 600.0
# makes a machine one that is restored from a snapshot
Warm = Callable[[MachineSpec], MachineSpec]
LOGIN = r"(?m)^\S+ login:"


def spec_of(disk: Path, host: Host, **more: Any) -> MachineSpec:
    """A machine that lets us in. It has one processor: two machines at once are what two cores do best."""
    wanted = {"forwards": (Forward(22),), "credentials": ssh_credentials(host.key()), "cpus": 1, **more}
    return MachineSpec(disk, **wanted)


@dataclass(frozen=True)
class Place:
    """The host, and a directory that its tools reach, where disks are made."""

    host: Host
    directory: Path

    def folder(self) -> Path:
        made = Path(tempfile.mkdtemp(dir=self.directory))
        made.chmod(0o755)
        return made


@dataclass(frozen=True)
class Booted:
    """A machine that runs and has let us in."""

    running: Running
    guest: Guest

    def ask(self, command: str) -> str:
        return self.guest.run(command).strip()

    def settled(self) -> str:
        """systemd's own verdict, once every job of the boot is done."""
        command = "systemctl is-system-running --wait"
        return self.guest.attempt(command, timeout=SETTLE_SECONDS).stdout.strip()

    def healthy(self) -> None:
        """The boot was as good as any."""
        verdict = self.settled()
        failed = self.ask("systemctl list-units --failed --no-legend --plain")
        assert (verdict, failed) == ("running", ""), self.ask("journalctl -b -p warning --no-pager")

    def reboot(self, command: str = "systemctl reboot") -> None:
        """Restart it, and wait until it lets us in again."""
        count = self.running.resets()
        position = self.running.console.position()
        self.guest.attempt(command)
        self.running.wait_reset(count + 1, SETTLE_SECONDS)
        self.back(position)

    def back(self, position: int) -> None:
        """Wait until a machine that restarted has let us in; a changed host key would be refused."""
        self.running.wait_for(LOGIN, BOOT_SECONDS, after=position)
        self.guest.wait(SETTLE_SECONDS, self.running.alive)


def let_in(made: Machine, running: Running) -> Booted:
    """A machine that was switched on, once it has let us in."""
    booted = Booted(running, running.guest(made.host.key()))
    running.wait_login(BOOT_SECONDS)
    if running.silence.nudges:
        warnings.warn(f"silent for a while, see stall.py: {running.silence.nudges}", stacklevel=2)
    booted.guest.wait(SETTLE_SECONDS, running.alive)
    if made.spec.snapshot is not None:
        set_clock(booted.guest)
    return booted


@contextmanager
def up(spec: MachineSpec, host: Host) -> Iterator[Booted]:
    """A throw-away machine that has let us in."""
    with machine(spec, host) as made, boot(made) as running:
        yield let_in(made, running)
