"""GPT: the layout of the disk's partitions, to the sector, as docs/concepts.md promises."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from builder.arch import Architecture
from builder.errors import Code, ColvertError

SECTOR = 512
MIB = 1 << 20
ALIGNMENT = MIB
# The GPT's second copy: 32 sectors of entries and one of header, at the disk's end.
TAIL = 33 * SECTOR
READ_ONLY = "GUID:60"
LABEL_MAX = 36

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "gpt.colvert")

ESP_SIZE = 1024 * MIB
USR_SIZE = 2048 * MIB
VERITY_SIZE = 32 * MIB
SIGNATURE_SIZE = MIB
OEM_SIZE = 256 * MIB
DISK_SIZE = 8192 * MIB
EMPTY = "_empty"
# No GUID at all: systemd-repart gives a disk without one its own on the first boot.
NO_GUID = uuid.UUID(int=0)
OEM_LABEL = "OEM"


class Type:
    """Partition types that are the same for all architectures; the others are in builder/arch.py."""

    ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
    BIOS = uuid.UUID("21686148-6449-6e6f-744e-656564454649")
    LINUX = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")


@dataclass(frozen=True)
class Partition:
    """One entry of the table, and the file whose bytes fill its start."""

    label: str
    type: uuid.UUID
    size: int
    uuid: uuid.UUID
    content: Path | None = None
    attributes: str = ""


@dataclass(frozen=True)
class Placed:
    """A partition and where it starts, in bytes."""

    partition: Partition
    start: int


@dataclass(frozen=True)
class Sizes:
    """How large the partitions are; what docs/concepts.md promises unless a manifest says more."""

    esp: int = ESP_SIZE
    usr: int = USR_SIZE
    verity: int = VERITY_SIZE
    signature: int = SIGNATURE_SIZE
    oem: int = OEM_SIZE


@dataclass(frozen=True)
class Contents:
    """The parts of one disk. `identity` is the OS and its version: UUIDs follow from it."""

    architecture: Architecture = field(kw_only=True)
    id: str
    version: str
    esp: Path
    usr: Path
    verity: Path
    usr_uuid: uuid.UUID
    verity_uuid: uuid.UUID
    oem: Path
    signature: Path | None = None
    sizes: Sizes = field(default_factory=Sizes)

    def derived(self, what: str) -> uuid.UUID:
        """The UUID of what has no identity by its content."""
        return uuid.uuid5(NAMESPACE, f"{self.id} {self.version} {what}")


def slot_labels(identity: str, version: str) -> tuple[str, str, str]:
    """The labels of a slot's usr, verity and signature partitions."""
    usr, verity, signature = (
        f"{identity}-{name}_{version}" for name in ("usr", "usr-verity", "usr-verity-sig")
    )
    return usr, verity, signature


def label_units(label: str) -> int:
    """How much of its LABEL_MAX a label takes: UTF-16 code units."""
    return len(label.encode("utf-16-le")) // 2


def layout(disk: Contents) -> tuple[Partition, ...]:
    """The partitions of a new disk, in order. ROOT is not among them: first boot makes it."""
    usr, verity, sig = slot_labels(disk.id, disk.version)
    new, sizes, types = disk.derived, disk.sizes, disk.architecture.partitions
    return (
        Partition("ESP", Type.ESP, sizes.esp, new("esp"), disk.esp),
        Partition("BIOS-BOOT", Type.BIOS, MIB, new("bios")),
        Partition(usr, types.usr, sizes.usr, disk.usr_uuid, disk.usr, READ_ONLY),
        Partition(verity, types.usr_verity, sizes.verity, disk.verity_uuid, disk.verity, READ_ONLY),
        Partition(sig, types.usr_verity_sig, sizes.signature, new("signature"), disk.signature, READ_ONLY),
        Partition(EMPTY, types.usr, sizes.usr, new("usr b")),
        Partition(EMPTY, types.usr_verity, sizes.verity, new("verity b")),
        Partition(EMPTY, types.usr_verity_sig, sizes.signature, new("signature b")),
        Partition(OEM_LABEL, Type.LINUX, sizes.oem, new("oem"), disk.oem),
    )


def place(partitions: Sequence[Partition]) -> tuple[Placed, ...]:
    """Give each partition its start: one after the other from 1 MiB on."""
    placed: list[Placed] = []
    start = ALIGNMENT
    for partition in partitions:
        _check(partition)
        placed.append(Placed(partition, start))
        start += -(-partition.size // ALIGNMENT) * ALIGNMENT
    return tuple(placed)


def _check(partition: Partition) -> None:
    if label_units(partition.label) > LABEL_MAX:
        raise ColvertError(
            Code.MANIFEST_INVALID,
            f"the partition label {partition.label!r} is longer than GPT's {LABEL_MAX} characters",
            hint="shorten the version or the id",
        )
    size = partition.content.stat().st_size if partition.content else 0
    if size > partition.size:
        raise ColvertError(
            Code.TOO_LARGE,
            f"{partition.label} holds {partition.size / MIB:.0f} MiB, its content has {size / MIB:.1f} MiB",
            hint="leave packages out of the manifest",
        )


def script(placed: Sequence[Placed], disk_uuid: uuid.UUID) -> str:
    """sfdisk's input that makes the table."""
    lines = [
        "label: gpt",
        f"label-id: {disk_uuid}",
        "unit: sectors",
        f"sector-size: {SECTOR}",
        "first-lba: 34",
    ]
    for item in placed:
        one = item.partition
        fields = [
            f"start={item.start // SECTOR}",
            f"size={one.size // SECTOR}",
            f"type={one.type}",
            f"uuid={one.uuid}",
            f'name="{one.label}"',
        ]
        lines.append(", ".join([*fields, *([f'attrs="{one.attributes}"'] if one.attributes else [])]))
    return "\n".join(lines) + "\n"
