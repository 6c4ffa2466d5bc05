"""Session of `colvert run`: an image from power-on to power-off."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from builder.errors import Code, ColvertError
from builder.machine import terminal
from builder.machine.accel import Accel
from builder.machine.console import plain
from builder.machine.credentials import ssh_credentials
from builder.machine.files import Host, machine
from builder.machine.probe import LOGIN_SECONDS, Running, boot
from builder.machine.qemu import SSH_PORT, Firmware, Forward, MachineSpec
from builder.machine.qmp import CONNECT_SECONDS, connect
from builder.machine.snapshots import warm
from builder.machine.warm import set_clock
from builder.pipeline.executor import Executor
from builder.sandbox.run import run_terminal

Say = Callable[[str], None]

KEPT_SHUTDOWN_SECONDS = 90.0


@dataclass(frozen=True)
class RunOptions:
    """Options of `colvert run`."""

    image: Path
    # go on from a snapshot of the machine; the checkout's key is let in, to set its clock
    warm: bool = False
    # let the checkout's key in, and open a shell (or run `command`) once the guest is up
    ssh: bool = False
    command: tuple[str, ...] = ()
    forwards: tuple[Forward, ...] = ()
    memory: int = 1024
    cpus: int = 2
    # variables of a firmware that enforces Secure Boot
    secure_boot: Path | None = None
    # write the screen's picture once the guest is up
    screenshot: Path | None = None
    # the name of a machine that is kept, None for a throw-away one
    persist: str | None = None
    # join the terminal to the serial console
    console: bool = True
    # end at the login prompt, and fail if the console told of trouble on the way
    until_login: bool = False
    timeout: float = LOGIN_SECONDS

    def spec(self, host: Host) -> MachineSpec:
        """The machine for it."""
        forwards, key = self.forwards, self.ssh or self.warm
        if key and not any(forward.guest == SSH_PORT for forward in forwards):
            forwards += (Forward(SSH_PORT),)
        return MachineSpec(
            disk=self.image,
            memory=self.memory,
            cpus=self.cpus,
            forwards=forwards,
            credentials=ssh_credentials(host.key()) if key else {},
            display=self.screenshot is not None,
            firmware=Firmware.secure(self.secure_boot) if self.secure_boot else Firmware(),
        )


def run_image(options: RunOptions, host: Host, say: Say, executor: Callable[[], Executor]) -> int:
    """Boot an image as `options` say; returns the exit status for the caller.

    `executor` is asked for only where a snapshot is wanted.
    """
    spec = options.spec(host)
    if options.warm:
        spec = _restored(spec, host, executor)
    with machine(spec, host, keep=options.persist) as made:
        say(f"QEMU with {made.choice.accel}: {made.choice.reason}")
        if options.persist:
            say(f"machine {options.persist}, kept in {made.directory}")
        with boot(made) as running:
            if options.warm:
                guest = running.guest(host.key())
                guest.wait(options.timeout, running.alive)
                set_clock(guest)
                say(f"restored from a snapshot after {running.seconds():.1f} s")
            for forward in spec.forwards:
                say(f"127.0.0.1:{running.forwarded(forward.guest)} forwards to guest port {forward.guest}")
            try:
                return _accompany(options, running, host, say)
            finally:
                _switch_off(options, running)


def _restored(spec: MachineSpec, host: Host, executor: Callable[[], Executor]) -> MachineSpec:
    """The machine with a snapshot; it is booted for one where there is none."""
    if host.accel(spec).accel is not Accel.TCG:
        raise ColvertError(
            Code.USAGE,
            "--warm requires emulation (TCG), and KVM is available",
            hint="remove --warm: a boot takes seconds under KVM",
        )
    return warm(executor(), spec)


def _accompany(options: RunOptions, running: Running, host: Host, say: Say) -> int:
    """Do what was asked for while the machine runs."""
    if options.until_login:
        _wait_login(running, options, say, strict=True)
    if options.screenshot is not None:
        if not options.until_login:
            _wait_login(running, options, say, strict=False)
        running.screenshot(options.screenshot)
        say(f"screenshot saved to {options.screenshot}")
    if options.ssh:
        guest = running.guest(host.key())
        guest.wait(options.timeout, running.alive)
        say(f"ssh login after {running.seconds():.1f} s")
        interactive = sys.stdin.isatty() and not options.command
        argv = guest.argv(*options.command, terminal=interactive)
        return run_terminal(argv, sandbox=guest.sandbox())
    if options.until_login or options.screenshot is not None:
        return 0
    if options.console and sys.stdin.isatty() and sys.stdout.isatty():
        return _attach(running, say)
    _follow(running, say)
    return 0


def _wait_login(running: Running, options: RunOptions, say: Say, *, strict: bool) -> None:
    marks = running.watch(options.timeout)
    passed = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in marks.items())
    say(f"login prompt after {marks['login']:.1f} s ({passed})")
    problems = running.problems()
    if problems and strict:
        raise ColvertError(
            Code.BOOT_FAILED,
            f"the machine booted, but its console shows errors ({len(problems)} lines)",
            detail=[str(problem) for problem in problems[:20]],
        )
    for problem in problems:
        say(str(problem))


def _attach(running: Running, say: Say) -> int:
    say("serial console; press Ctrl-] to stop the machine")
    with connect(running.machine.serial_socket, CONNECT_SECONDS, running.alive) as channel:
        ended = terminal.attach(channel, sys.stdin.fileno(), sys.stdout.fileno())
    say("" if ended else "stopping the machine")
    return 0


def _follow(running: Running, say: Say) -> None:
    """Show the console line by line until the machine ends."""
    position = running.begin
    while True:
        alive = running.alive()
        raw = running.console.raw()
        end = raw.rfind(b"\n") + 1 if alive else len(raw)
        if end > position:
            for line in plain(raw[position:end]).splitlines():
                say(line)
            position = end
        if not alive:
            return
        time.sleep(0.2)


def _switch_off(options: RunOptions, running: Running) -> None:
    """A kept machine is shut down in order; of the others nothing is left to keep."""
    if not running.alive() or options.persist is None:
        return
    running.shutdown(KEPT_SHUTDOWN_SECONDS)
