"""QEMU accelerator of this host: KVM where a probe has shown that it works, else TCG.

/dev/kvm may exist, open, and still fail at the first instruction a firmware uses (nested and
paravirtualised KVM do). So the firmware itself is booted once under KVM with a time limit;
the answer is kept per boot of the host, since only a reboot or another QEMU changes it.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from builder.arch import DEFAULT, Architecture, Board
from builder.sandbox.run import Bind, Sandbox, command, run, start

KVM_DEVICE = Path("/dev/kvm")
PROBE_SECONDS = 10.0
# the boot manager speaks last, after all of the firmware has run; with nothing to boot it says so
BOOT_MANAGER = b"BdsDxe"


class Accel(StrEnum):
    """How QEMU runs the guest's instructions."""

    KVM = "kvm"
    TCG = "tcg"

    def options(self) -> tuple[str, ...]:
        return ("-accel", "kvm" if self is Accel.KVM else "tcg,thread=multi")

    def cpu(self) -> str:
        return "host" if self is Accel.KVM else "max"

    def binds(self) -> tuple[Bind, ...]:
        """The devices a sandbox must show for it."""
        return (Bind(KVM_DEVICE, str(KVM_DEVICE), device=True),) if self is Accel.KVM else ()

    def own_identity(self) -> bool:
        """Whether QEMU keeps the caller's identity, which alone may open the device."""
        return self is Accel.KVM


@dataclass(frozen=True)
class Choice:
    """The accelerator to use, and why."""

    accel: Accel
    reason: str


def choose(sdk: Path, state: Path, architecture: Architecture = DEFAULT) -> Choice:
    """KVM if it is proved to work, else TCG; asks the machine at most once per boot."""
    if platform.machine() != architecture.name:
        return Choice(Accel.TCG, f"this computer is no {architecture.name}")
    if not KVM_DEVICE.exists():
        return Choice(Accel.TCG, "no /dev/kvm")
    if not os.access(KVM_DEVICE, os.R_OK | os.W_OK):
        return Choice(Accel.TCG, "no permission to open /dev/kvm")
    key = _key(sdk, architecture.board)
    cache = state / "kvm.json"
    if (known := _cached(cache, key)) is not None:
        return known
    choice = probe(sdk, board=architecture.board)
    _remember(cache, key, choice)
    return choice


def probe(
    sdk: Path, accel: Accel = Accel.KVM, seconds: float = PROBE_SECONDS, board: Board = DEFAULT.board
) -> Choice:
    """Boot the firmware up to its boot manager within the time limit; TCG is the tests' control."""
    # QEMU's snapshot files go to /var/tmp
    sandbox = Sandbox(sdk, accel.binds(), tmpfs=("/var/tmp",), own_identity=accel.own_identity())
    with tempfile.TemporaryDirectory(prefix="colvert-kvm-") as directory:
        log = Path(directory, "console.log")
        with start(command(_probe_argv(accel, board), sandbox=sandbox), log=log) as process:
            end = time.monotonic() + seconds
            while BOOT_MANAGER not in (said := log.read_bytes()):
                if process.poll() is not None:
                    said = log.read_bytes()
                    break
                if time.monotonic() >= end:
                    return Choice(Accel.TCG, f"{accel} did not run the firmware within {seconds:.0f} s")
                time.sleep(0.05)
    if BOOT_MANAGER in said:
        return Choice(accel, f"the firmware ran under {accel}")
    return Choice(Accel.TCG, f"{accel} failed: {_complaint(said)}")


def _probe_argv(accel: Accel, board: Board) -> list[str]:
    return [
        board.program,
        *("-nodefaults", "-no-user-config", "-machine", board.option(secure_boot=False)),
        *accel.options(),
        *("-cpu", accel.cpu(), "-smp", "2", "-m", "256", "-display", "none", "-no-reboot"),
        *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={board.code}"),
        # snapshot: the variables are written to, the SDK is not
        *("-drive", f"if=pflash,unit=1,format=raw,snapshot=on,file={board.variables}"),
        *("-serial", "stdio"),
    ]


def _complaint(said: bytes) -> str:
    """The first line of QEMU's own that says why."""
    lines = said.decode("utf-8", "replace").splitlines()
    blaming = [line.strip() for line in lines if "rror" in line or "ssertion" in line or "qemu" in line]
    return blaming[0] if blaming else "QEMU ended without a word"


def _key(sdk: Path, board: Board) -> dict[str, str]:
    """What the answer depends on."""
    version = run([board.program, "--version"], sandbox=Sandbox(root=sdk)).stdout.splitlines()[0]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return {"boot": boot, "kernel": platform.release(), "qemu": version, "user": str(os.geteuid())}


def _cached(cache: Path, key: dict[str, str]) -> Choice | None:
    try:
        entry = json.loads(cache.read_text())
        if entry["key"] == key:
            return Choice(Accel(entry["accel"]), str(entry["reason"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there, half written by another version, whatever: the probe is cheap
    return None


def _remember(cache: Path, key: dict[str, str], choice: Choice) -> None:
    text = json.dumps({"key": key, "accel": choice.accel.value, "reason": choice.reason}, indent=1)
    temporary = cache.with_name(f".{cache.name}.{os.getpid()}")
    try:
        temporary.write_text(text)
        temporary.replace(cache)
    except OSError:
        temporary.unlink(missing_ok=True)  # a read-only state directory only costs the next probe
