"""Hardware of a virtual machine, and QEMU's command line for it.

Pure: nothing is started or written here, so that tests compare whole command lines. All
paths are as the sandbox shows them; `files.py` puts the files there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from builder.arch import DEFAULT, Architecture
from builder.errors import Code, ColvertError
from builder.machine.accel import Accel
from builder.machine.credentials import smbios_values

# Where a machine's files are in the sandbox. /run is a tmpfs there, so the names are free.
IMAGE_PATH = "/run/image"
LOADER_PATH = "/run/loader"
DISK_DIR = "/run/disk"
RUN_DIR = "/run/machine"
# the snapshot from which a machine is restored
SNAPSHOT_DIR = "/run/snapshot"
DISK_PATH = f"{DISK_DIR}/disk.qcow2"
VARS_PATH = f"{DISK_DIR}/vars.fd"
WRITES_PATH = f"{DISK_DIR}/writes.log"
# in RUN_DIR while it is saved, in SNAPSHOT_DIR when it is read
MEMORY = "memory"
QMP_SOCKET = "qmp.sock"
SERIAL_SOCKET = "serial.sock"
CONSOLE_LOG = "console.log"

SSH_PORT = 22


class Bus(StrEnum):
    """How the disk is attached: the controllers of the places where an image runs."""

    VIRTIO = "virtio"
    NVME = "nvme"
    AHCI = "ahci"
    VIRTIO_SCSI = "virtio-scsi"
    PVSCSI = "pvscsi"
    MPT = "mpt"


class Nic(StrEnum):
    """The network card, likewise."""

    VIRTIO = "virtio-net-pci"
    E1000 = "e1000"
    E1000E = "e1000e"
    VMXNET3 = "vmxnet3"


_DISK_DEVICES: Mapping[Bus, tuple[str, ...]] = {
    Bus.VIRTIO: ("virtio-blk-pci,drive=disk,bootindex=0",),
    Bus.NVME: ("nvme,drive=disk,serial=colvert,bootindex=0",),
    Bus.AHCI: ("ide-hd,drive=disk,bootindex=0",),
    Bus.VIRTIO_SCSI: ("virtio-scsi-pci", "scsi-hd,drive=disk,bootindex=0"),
    Bus.PVSCSI: ("pvscsi", "scsi-hd,drive=disk,bootindex=0"),
    Bus.MPT: ("mptsas1068", "scsi-hd,drive=disk,bootindex=0"),
}


@dataclass(frozen=True)
class Firmware:
    """UEFI: the code (a path in the SDK) and the variables a new machine starts with."""

    code: str = DEFAULT.board.code
    # None: the SDK's empty ones; a host path: variables with keys enrolled
    variables: Path | None = None
    secure_boot: bool = False

    @classmethod
    def secure(cls, variables: Path, architecture: Architecture = DEFAULT) -> Firmware:
        """The firmware that enforces Secure Boot with the keys in `variables`."""
        return cls(architecture.board.secure_code, variables, secure_boot=True)


@dataclass(frozen=True)
class Forward:
    """A TCP port of the host's loopback that leads to one of the guest; host 0 means any free one."""

    guest: int
    host: int = 0

    @classmethod
    def parse(cls, text: str) -> Forward:
        """`GUEST` or `HOST:GUEST`, as `--forward` takes it."""
        match = re.fullmatch(r"(?:(\d{1,5}):)?(\d{1,5})", text)
        host, guest = (int(match[1] or 0), int(match[2])) if match else (0, 0)
        if not (0 < guest < 65536 and host < 65536):
            raise ColvertError(
                Code.USAGE, f"{text!r} is no port forward", hint="--forward 8080:80 (host:guest)"
            )
        return cls(guest, host)

    def option(self) -> str:
        return f"hostfwd=tcp:127.0.0.1:{self.host}-:{self.guest}"


@dataclass(frozen=True)
class GuestForward:
    """A TCP port of an address in the guest's network that leads to one of the host's loopback.

    Such is the link-local address on which clouds have their metadata service.
    """

    address: str
    port: int
    host: int

    def network(self) -> str:
        """A network for QEMU's user mode that has the address in it, and routable ones for the guest."""
        return f"net={self.address.partition('.')[0]}.0.0.0/8"

    def option(self) -> str:
        # a program for each connection, since QEMU would share one connection between all of them
        there = f"/dev/tcp/127.0.0.1/{self.host}"
        relay = f"exec 3<>{there} && {{ cat <&0 >&3 & cat <&3; kill $!; }}"
        return f"guestfwd=tcp:{self.address}:{self.port}-cmd:bash -c '{relay}'"


@dataclass(frozen=True)
class MachineSpec:
    """A virtual machine: the image it boots and the hardware around it."""

    disk: Path
    architecture: Architecture = field(default=DEFAULT, kw_only=True)
    memory: int = 1024  # MiB
    cpus: int = 2
    # GiB; the disk a machine sees may be larger than the image, as a cloud's is
    disk_size: int | None = None
    bus: Bus = Bus.VIRTIO
    nic: Nic = Nic.VIRTIO
    firmware: Firmware = field(default_factory=Firmware)
    # the artifact of a warm machine (`warm.py`): it is restored where others are switched on
    snapshot: Path | None = None
    # a raw disk that the firmware starts from, where it cannot read the one that is meant; written to
    loader: Path | None = None
    credentials: Mapping[str, str | bytes] = field(default_factory=dict)
    oem_strings: tuple[str, ...] = ()
    # fields of the firmware's other tables, by type: {1: {"manufacturer": "Amazon EC2"}}
    smbios: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    forwards: tuple[Forward, ...] = ()
    guest_forward: GuestForward | None = None
    # every write and flush of the guest is written down too (QEMU's blklogwrites), from which
    # tests make the disks that a power cut could leave
    log_writes: bool = False
    # the guest reaches nothing but its forwards: for tests, which need no outside world
    isolated: bool = False
    display: bool = False
    # False: QEMU ends where the guest would reboot
    reboot: bool = True
    accel: Accel | None = None
    cpu: str | None = None
    extra: tuple[str, ...] = ()

    def port(self, guest: int) -> bool:
        """Whether a forward to that guest port was asked for."""
        return any(forward.guest == guest for forward in self.forwards)


def command_line(spec: MachineSpec, accel: Accel, *, durable: bool, restored: bool = False) -> list[str]:
    """QEMU's command line; `durable` disks survive a crash of the host, others need not.

    A `restored` machine reads its memory from the snapshot and does not run yet.
    """
    return [
        spec.architecture.board.program,
        "-nodefaults",
        "-no-user-config",
        *_board(spec, accel),
        *_disk(spec, durable),
        *_network(spec),
        *_channels(),
        # a hang must end in a reset, so that boot counting can act; the guest arms it
        *("-device", "i6300esb", "-action", "watchdog=reset"),
        *("-device", "virtio-rng-pci"),
        # a restored guest learns of it and takes other random numbers than its siblings
        *("-device", "vmgenid,guid=auto"),
        *_smbios(spec),
        *([] if spec.reboot else ["-no-reboot"]),
        *spec.extra,
        *(["-incoming", f"file:{SNAPSHOT_DIR}/{MEMORY}"] if restored else []),
    ]


def _board(spec: MachineSpec, accel: Accel) -> list[str]:
    board, secure = spec.architecture.board, spec.firmware.secure_boot
    display = ["-device", "VGA,romfile="] if spec.display else []
    guard = ["-global", "driver=cfi.pflash01,property=secure,value=on"] if secure and board.smm else []
    return [
        *("-machine", board.option(secure_boot=secure)),
        *accel.options(),
        *("-cpu", spec.cpu or accel.cpu()),
        *("-smp", str(spec.cpus)),
        *("-m", str(spec.memory)),
        *guard,
        *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={spec.firmware.code}"),
        *("-drive", f"if=pflash,unit=1,format=raw,file={VARS_PATH}"),
        *("-display", "none", *display),
    ]


def _disk(spec: MachineSpec, durable: bool) -> list[str]:
    # an unsafe cache takes flushes for itself, and the log would have none
    cache = "writeback" if durable or spec.log_writes else "unsafe"
    drive = f"format=qcow2,discard=unmap,cache={cache},file={DISK_PATH}"
    if spec.log_writes:
        logged = f"driver=blklogwrites,log.driver=file,log.filename={WRITES_PATH}"
        # its head at once, so that the log can be read while the machine runs
        logged += ",log-super-update-interval=1"
        drive = (
            f"{logged},cache={cache},file.driver=qcow2,file.file.driver=file,file.file.filename={DISK_PATH}"
        )
    words = ["-drive", f"if=none,id=disk,{drive}"]
    for device in _DISK_DEVICES[spec.bus]:
        # each place in the boot order is there once
        words += ["-device", device.removesuffix(",bootindex=0") if spec.loader else device]
    if spec.loader:
        words += ["-drive", f"if=none,id=loader,format=raw,cache=unsafe,file={LOADER_PATH}"]
        words += ["-device", "virtio-blk-pci,drive=loader,bootindex=0"]
    return words


def _network(spec: MachineSpec) -> list[str]:
    options = ["user", "id=net", *(["restrict=on"] if spec.isolated else [])]
    if spec.guest_forward is not None:
        options += [spec.guest_forward.network(), spec.guest_forward.option()]
    options += [forward.option() for forward in spec.forwards]
    # no boot ROM: firmware that tries the network first costs seconds
    return ["-netdev", ",".join(options), "-device", f"{spec.nic},netdev=net,romfile="]


def _channels() -> list[str]:
    # logfile: the console is kept whether or not somebody is connected
    serial = f"socket,id=serial,path={RUN_DIR}/{SERIAL_SOCKET},server=on,wait=off"
    return [
        *("-chardev", f"{serial},logfile={RUN_DIR}/{CONSOLE_LOG},logappend=on"),
        *("-serial", "chardev:serial"),
        *("-chardev", f"socket,id=qmp,path={RUN_DIR}/{QMP_SOCKET},server=on,wait=off"),
        *("-mon", "chardev=qmp,mode=control"),
    ]


def _smbios(spec: MachineSpec) -> list[str]:
    values = [*smbios_values(spec.credentials), *spec.oem_strings]
    tables = [f"type=11,value={_quoted(value)}" for value in values]
    for number, fields in sorted(spec.smbios.items()):
        pairs = (f",{name}={_quoted(value)}" for name, value in fields.items())
        tables.append(f"type={number}{''.join(pairs)}")
    return [word for table in tables for word in ("-smbios", table)]


def _quoted(value: str) -> str:
    """QEMU's option syntax writes a comma in a value as two."""
    return value.replace(",", ",,")
