"""Boot of a machine under observation, for `colvert run`, the benchmarks and the tests.

Nothing stays behind: QEMU dies with the process (and the thread) that called `boot`, however
that one ends, and its files go with the machine.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from builder.errors import Code, ColvertError
from builder.machine.console import POLL_SECONDS, Console, Problem
from builder.machine.credentials import KeyPair
from builder.machine.files import Host, Machine, machine
from builder.machine.guest import Guest
from builder.machine.qemu import RUN_DIR, SSH_PORT, MachineSpec, command_line
from builder.machine.qmp import CONNECT_SECONDS, Qmp, connect
from builder.machine.stall import Silence
from builder.sandbox.run import Command, command, start

LOGIN_SECONDS = 420.0
SHUTDOWN_SECONDS = 180.0
RESTORE_SECONDS = 120.0
RESTORE_POLL = 0.02
LOGIN = re.compile(r"^\S+ login:", re.MULTILINE)

# what a boot shows on its way, in order; a quiet kernel may leave some out
MARKS: Mapping[str, re.Pattern[str]] = {
    "firmware": re.compile(r"BdsDxe: (loading|starting)"),
    "stub": re.compile(r"EFI stub"),
    "kernel": re.compile(r"Linux version"),
    "initrd": re.compile(
        r"systemd\[1\]: .*[Rr]unning in (system|initrd)|systemd \d+.* running in system mode"
    ),
    "switch-root": re.compile(r"Switching root|Switch Root"),
    "login": LOGIN,
}


class Running:
    """A machine that runs now."""

    def __init__(self, made: Machine, process: subprocess.Popen[bytes], qmp: Qmp, started: float) -> None:
        self.machine = made
        self.process = process
        self.qmp = qmp
        self.started = started
        self.console = Console(made.console_log)
        self.silence = Silence(self.console, qmp)
        # an earlier boot of the same machine wrote to the same log
        self.begin = 0

    def alive(self) -> bool:
        return self.process.poll() is None

    def seconds(self) -> float:
        """Since QEMU was started."""
        return time.monotonic() - self.started

    def wait_for(
        self, pattern: str | re.Pattern[str], timeout: float, *, after: int | None = None
    ) -> re.Match[str]:
        """The first match on this boot's console."""
        position = self.begin if after is None else after
        return self.console.wait_for(pattern, timeout, after=position, alive=self.alive)

    def wait_login(self, timeout: float = LOGIN_SECONDS) -> float:
        """Wait for the login prompt; returns the seconds since QEMU was started."""
        return self.watch(timeout)["login"]

    def watch(self, timeout: float = LOGIN_SECONDS) -> dict[str, float]:
        """Wait for the login prompt and return the time of each boot phase."""
        seen: dict[str, float] = {}
        while "login" not in seen:
            if running := self.alive():
                self.silence.look()
            text = self.console.text(self.begin)
            now = self.seconds()
            for name, pattern in MARKS.items():
                if name not in seen and pattern.search(text):
                    seen[name] = round(now, 2)
            if "login" not in seen and (not running or now > timeout):
                why = f"within {timeout:.0f} s" if running else "before the machine ended"
                nudges = [f"QEMU, silent: {line}" for nudge in self.silence.nudges for line in nudge]
                raise ColvertError(
                    Code.BOOT_FAILED, f"no login prompt {why}", detail=[*self.console.tail(), *nudges]
                )
            time.sleep(POLL_SECONDS)
        return seen

    def problems(self, allow: Iterable[str] = ()) -> tuple[Problem, ...]:
        """Errors on the console of this boot."""
        return self.console.problems(allow, after=self.begin)

    def forwarded(self, guest: int) -> int:
        """The host's port that leads to the guest's."""
        for line in self.qmp.monitor("info usernet").splitlines():
            words = line.split()
            # TCP[HOST_FORWARD] FD SOURCE PORT DESTINATION PORT ...
            if words and words[0] == "TCP[HOST_FORWARD]" and words[5] == str(guest):
                return int(words[3])
        raise ColvertError(Code.USAGE, f"no port is forwarded to port {guest} of the guest")

    def guest(self, key: KeyPair | None = None) -> Guest:
        """The guest over ssh; without a key, for attempts that must fail."""
        host = self.machine.host
        return Guest(host.sdk, self.machine.ssh, self.forwarded(SSH_PORT), key)

    def type(self, text: bytes) -> None:
        """Type on the serial console; what comes back is read from the log.

        The connection has to be read as well, since the guest blocks on a slow reader.
        """
        with connect(self.machine.serial_socket, CONNECT_SECONDS, self.alive) as channel:
            channel.sendall(text)
            channel.settimeout(0.5)
            with suppress(TimeoutError, ConnectionResetError):
                while channel.recv(65536):
                    pass

    def screenshot(self, target: Path) -> None:
        """The guest's screen as PNG."""
        name = "screen.png"
        self.qmp.execute("screendump", {"filename": f"{RUN_DIR}/{name}", "format": "png"})
        shutil.copyfile(self.machine.run / name, target)

    def resets(self) -> int:
        """How often the machine was reset since it was switched on, by the guest or its watchdog."""
        return len(self.qmp.events("RESET"))

    def told(self) -> str:
        """The evidence of a reset: QEMU's events and the whole console."""
        events = [*self.qmp.events("WATCHDOG"), *self.qmp.events("RESET")]
        return "\n".join([*map(str, events), self.console.text(self.begin)])

    def wait_reset(self, count: int, timeout: float) -> None:
        """Wait until the machine was reset `count` times."""
        end = time.monotonic() + timeout
        while self.resets() < count:
            if not self.alive() or time.monotonic() > end:
                raise ColvertError(
                    Code.BOOT_FAILED,
                    f"the machine was reset {self.resets()} times in {timeout:.0f} s, not {count} times",
                    detail=self.console.tail(),
                )
            time.sleep(POLL_SECONDS)

    def wait_end(self, timeout: float) -> None:
        """Wait until the guest has switched itself off."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ColvertError(
                Code.BOOT_FAILED,
                f"the machine was still running after {timeout:.0f} s",
                detail=self.console.tail(),
            ) from None

    def shutdown(self, timeout: float = SHUTDOWN_SECONDS) -> None:
        """Press the power button and wait until the guest is off."""
        self.qmp.execute("system_powerdown")
        self.wait_end(timeout)


@contextmanager
def boot(made: Machine) -> Iterator[Running]:
    """Switch a machine on; at the end of the block it is off, by force where it still runs.

    One with a snapshot is restored the first time: what it showed on its console before counts as this
    boot's.
    """
    restored = made.spec.snapshot is not None and not made.used
    argv = command_line(made.spec, made.choice.accel, durable=made.durable, restored=restored)
    # the host's network: forwards listen on its loopback
    prepared = command(argv, sandbox=made.sandbox(network=True))
    begin = made.console_log.stat().st_size if made.console_log.exists() and not restored else 0
    for socket in (made.qmp_socket, made.serial_socket):
        socket.unlink(missing_ok=True)
    started = time.monotonic()
    with start(prepared, log=made.qemu_log) as process, ExitStack() as stack:
        try:
            channel = connect(made.qmp_socket, CONNECT_SECONDS, lambda: process.poll() is None)
            qmp = stack.enter_context(Qmp(channel))
            if restored:
                _go_on(qmp)
        except ColvertError as error:
            raise _gave_up(made, process, prepared, error) from None
        running = Running(made, process, qmp, started)
        running.begin = begin
        yield running


def _go_on(qmp: Qmp) -> None:
    """Wait until QEMU has read a snapshot, then let the guest run."""
    end = time.monotonic() + RESTORE_SECONDS
    while qmp.execute("query-status")["status"] == "inmigrate":
        if time.monotonic() > end:
            raise ColvertError(Code.BOOT_FAILED, "timeout while QEMU reads the snapshot")
        time.sleep(RESTORE_POLL)
    qmp.execute("cont")


def _gave_up(
    made: Machine, process: subprocess.Popen[bytes], prepared: Command, error: ColvertError
) -> ColvertError:
    """The error for a QEMU that was just started and does not answer, with its own words."""
    # it makes the socket before it looks at the devices: let it finish its last sentence
    with suppress(subprocess.TimeoutExpired):
        process.wait(5)
    said = made.qemu_log.read_text(errors="replace").splitlines()[-10:]
    return ColvertError(
        error.code, "QEMU did not start", detail=said or [error.what], hint=prepared.pasteable()
    )


@dataclass(frozen=True)
class Report:
    """How a boot went."""

    marks: Mapping[str, float]
    problems: tuple[Problem, ...]


def check(spec: MachineSpec, host: Host, allow: Iterable[str] = ()) -> Report:
    """Boot a throw-away machine to its login prompt and switch it off."""
    with machine(spec, host) as made, boot(made) as running:
        marks = running.watch()
        report = Report(marks, running.problems(allow))
        running.shutdown()
        return report
