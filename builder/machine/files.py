"""Files of a machine: disk, firmware variables, sockets, console log.

A machine is thrown away after use unless it has a name. Throw-away ones share their image
(a qcow2 layer above it holds what they write), so that many run at once; a named one has a
copy of its own, which outlives the image. One that is restored has such a layer above the
disk of its snapshot. Each directory is locked by the process that uses
it: what a killed one left is swept away by the next.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.errors import Code, ColvertError, Location
from builder.machine.accel import Choice, choose
from builder.machine.credentials import KeyPair, checkout_key
from builder.machine.qemu import (
    CONSOLE_LOG,
    DISK_DIR,
    DISK_PATH,
    IMAGE_PATH,
    LOADER_PATH,
    QMP_SOCKET,
    RUN_DIR,
    SERIAL_SOCKET,
    SNAPSHOT_DIR,
    VARS_PATH,
    WRITES_PATH,
    MachineSpec,
)
from builder.pipeline.files import hidden_from_git
from builder.pipeline.lock import held
from builder.sandbox.run import UNPRIVILEGED_ID, Bind, Sandbox, run

# what the images of each format begin with, under QEMU's name for it
MAGICS: Mapping[bytes, str] = {b"QFI\xfb": "qcow2", b"KDMV": "vmdk", b"conectix": "vpc"}
CREATE_SECONDS = 300.0
# a hole, of which a machine's log of writes fills the start
LOG_SIZE = 64 << 30


@dataclass(frozen=True)
class Host:
    """Directories of the host for machines: the SDK, their files, and the checkout's state."""

    sdk: Path
    machines: Path
    checkout_state: Path

    def key(self) -> KeyPair:
        """The checkout's ssh key; its directory hides itself from git."""
        return checkout_key(hidden_from_git(self.checkout_state))

    def accel(self, spec: MachineSpec) -> Choice:
        """The accelerator that `spec` names, else the one that works here."""
        if spec.accel is not None:
            return Choice(spec.accel, "as requested")
        self.machines.mkdir(parents=True, exist_ok=True)
        return choose(self.sdk, self.machines, spec.architecture)


@dataclass(frozen=True)
class Machine:
    """A machine that can be booted, more than once; it exists while its directory is locked."""

    spec: MachineSpec
    host: Host
    directory: Path
    choice: Choice
    durable: bool

    @property
    def disk(self) -> Path:
        return self.directory / "disk"

    @property
    def write_log(self) -> Path:
        return self.disk / Path(WRITES_PATH).name

    @property
    def run(self) -> Path:
        return self.directory / "run"

    @property
    def ssh(self) -> Path:
        return self.directory / "ssh"

    @property
    def console_log(self) -> Path:
        return self.run / CONSOLE_LOG

    @property
    def qmp_socket(self) -> Path:
        return self.run / QMP_SOCKET

    @property
    def serial_socket(self) -> Path:
        return self.run / SERIAL_SOCKET

    @property
    def qemu_log(self) -> Path:
        return self.directory / "qemu.log"

    @property
    def variables(self) -> Path:
        """The firmware's variables."""
        return self.disk / Path(VARS_PATH).name

    @property
    def used(self) -> bool:
        """Whether it was switched on before: then its disk is no longer the snapshot's."""
        return self.qemu_log.exists()

    def sandbox(self, *, network: bool = False) -> Sandbox:
        """Sandbox of QEMU and qemu-img: the SDK, this machine's files, the image read-only."""
        binds = [Bind(self.disk, DISK_DIR, writable=True), Bind(self.run, RUN_DIR, writable=True)]
        if self.spec.disk.exists():  # a named machine outlives its image
            binds.append(Bind(self.spec.disk.absolute(), IMAGE_PATH))
        if self.spec.snapshot is not None:
            binds.append(Bind(self.spec.snapshot, SNAPSHOT_DIR))
        if self.spec.loader is not None:
            binds.append(Bind(self.spec.loader.absolute(), LOADER_PATH, writable=True))
        return Sandbox(
            root=self.host.sdk,
            binds=(*binds, *self.choice.accel.binds()),
            network=network,
            own_identity=self.own_identity,
        )

    @property
    def own_identity(self) -> bool:
        """QEMU keeps the caller's user id only if no other user can open its files."""
        return self.choice.accel.own_identity() or not _open_to_all(self.spec.disk)

    def give(self, path: Path) -> None:
        """Make the user of QEMU the owner of a file or directory."""
        if os.geteuid() == 0:
            owner = 0 if self.own_identity else UNPRIVILEGED_ID
            os.chown(path, owner, owner)


@contextmanager
def machine(spec: MachineSpec, host: Host, *, keep: str | None = None) -> Iterator[Machine]:
    """A machine for `spec`: a throw-away one, or the one named `keep` (made at first use)."""
    if keep is None and not spec.disk.is_file():
        raise ColvertError(
            Code.NOT_BUILT, "image not found", where=Location(str(spec.disk)), hint="colvert build"
        )
    choice = host.accel(spec)
    place = _kept_directory(host.machines, keep) if keep else _throw_away_directory(host.machines)
    with place as directory:
        made = Machine(spec, host, directory, choice, durable=keep is not None)
        _furnish(made)
        yield made


@contextmanager
def _throw_away_directory(machines: Path) -> Iterator[Path]:
    base = machines / "run"
    base.mkdir(parents=True, exist_ok=True)
    with held(base / ".lock"):  # nobody sweeps between making a directory and locking it
        _sweep(base)
        directory = Path(tempfile.mkdtemp(dir=base, prefix="machine-"))
        directory.chmod(0o755)
        lock = held(directory / "lock", wait=False)
        lock.__enter__()
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        lock.__exit__(None, None, None)


def _sweep(base: Path) -> None:
    """Delete the directories whose process is gone."""
    for directory in base.glob("machine-*"):
        with held(directory / "lock", wait=False) as ours:
            if ours:
                shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _kept_directory(machines: Path, name: str) -> Iterator[Path]:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise ColvertError(Code.USAGE, f"invalid machine name {name!r}", hint="use letters, digits and _.-")
    directory = machines / "kept" / name
    directory.mkdir(parents=True, exist_ok=True)
    with held(directory / "lock", wait=False) as ours:
        if not ours:
            raise ColvertError(
                Code.BUSY,
                f"the machine {name} is already running",
                hint="stop it first, or choose another name",
            )
        yield directory


def _furnish(made: Machine) -> None:
    """Make what a first boot needs; leave what an earlier one wrote."""
    made.ssh.mkdir(mode=0o700, exist_ok=True)
    shutil.rmtree(made.run, ignore_errors=True)  # sockets and log of an earlier run
    for directory in (made.disk, made.run):
        directory.mkdir(exist_ok=True)
        made.give(directory)
    if not made.variables.exists():
        temporary = made.variables.with_suffix(".new")
        shutil.copyfile(_first_variables(made), temporary)
        temporary.replace(made.variables)
    if made.spec.snapshot is not None:
        shutil.copyfile(made.spec.snapshot / CONSOLE_LOG, made.console_log)
        made.give(made.console_log)
    disk = made.disk / Path(DISK_PATH).name
    if not disk.exists():
        _make_disk(made, disk)
    if made.spec.log_writes:
        with made.write_log.open("wb") as log:
            log.truncate(LOG_SIZE)
    for path in made.disk.iterdir():
        made.give(path)


def _first_variables(made: Machine) -> Path:
    """What the firmware's variables start as."""
    if made.spec.snapshot is not None:
        return made.spec.snapshot / made.variables.name
    empty = made.spec.architecture.board.variables
    return made.spec.firmware.variables or made.host.sdk / empty.lstrip("/")


def _make_disk(made: Machine, disk: Path) -> None:
    if not made.spec.disk.is_file():
        raise ColvertError(
            Code.NOT_BUILT,
            "image not found",
            where=Location(str(made.spec.disk)),
            hint="colvert build",
        )
    new = f"{DISK_PATH}.new"
    kind, below = disk_format(made.spec.disk), IMAGE_PATH
    if made.spec.snapshot is not None:
        kind, below = "qcow2", f"{SNAPSHOT_DIR}/{disk.name}"
    if made.durable:
        argv = ["qemu-img", "convert", "-f", kind, "-O", "qcow2", IMAGE_PATH, new]
    else:
        argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", kind, "-b", below, new]
    run(argv, sandbox=made.sandbox(), timeout=CREATE_SECONDS)
    if made.spec.disk_size and made.spec.snapshot is None:
        size = f"{made.spec.disk_size}G"
        run(
            ["qemu-img", "resize", "-q", "-f", "qcow2", new, size],
            sandbox=made.sandbox(),
            timeout=CREATE_SECONDS,
        )
    disk.with_name(f"{disk.name}.new").replace(disk)


def disk_format(path: Path) -> str:
    """QEMU's name for a disk's format, by content: a guess by name would let a guest choose it."""
    with path.open("rb") as stream:
        begin = stream.read(8)
    return next((name for magic, name in MAGICS.items() if begin.startswith(magic)), "raw")


def _open_to_all(path: Path) -> bool:
    """Whether somebody who owns nothing here can read a file."""
    path = path.absolute()
    try:
        passable = all(parent.stat().st_mode & 0o001 for parent in path.parents)
        return passable and bool(path.stat().st_mode & 0o004)
    except OSError:
        return True  # not there: then nothing of it needs opening
