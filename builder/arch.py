"""Processor architectures: one row each, with the names that every tool, cloud and format has for it.

Nothing else in the builder spells an architecture: what depends on one is a column here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal
from uuid import UUID

ArchitectureName = Literal["x86_64"]


@dataclass(frozen=True)
class PartitionTypes:
    """GPT types that name an architecture (Discoverable Partitions Specification)."""

    root: UUID
    usr: UUID
    usr_verity: UUID
    usr_verity_sig: UUID


@dataclass(frozen=True)
class BranchProtection:
    """The property of an ELF file, and its bits, that say that the processor can check its jumps.

    A file has it where the linker found it in every object (System V ABI, processor supplements).
    """

    # as pyelftools calls it
    property: str
    bits: int


@dataclass(frozen=True)
class Board:
    """QEMU's machine, and the UEFI firmware for it (absolute paths in the SDK)."""

    program: str
    # Debian's packages of the program and of the firmware
    package: str
    firmware_package: str
    machine: str
    # system management mode, which keeps the firmware's variables from the kernel
    smm: bool
    code: str
    secure_code: str
    variables: str
    # firmware in one file on other computers: where Debian, Arch and Fedora have it
    elsewhere: tuple[str, ...]

    def option(self, *, secure_boot: bool) -> str:
        """The value of QEMU's -machine."""
        return f"{self.machine},smm={'on' if secure_boot else 'off'}" if self.smm else self.machine


@dataclass(frozen=True)
class Architecture:
    """One row."""

    # as uname -m, manifests and indexes of releases have it
    name: ArchitectureName
    debian: str
    # the keyword of ebuilds and the end of a profile's name
    gentoo: str
    # as EC2 and those that copy it, and in capitals Google, have it
    cloud: str
    # the part of a name that UEFI (2.10, 3.5.1.1) and systemd put in
    efi: str
    # e_machine of ELF files, as pyelftools calls it
    elf: str
    # bytes of a command line that the kernel keeps (COMMAND_LINE_SIZE without the final zero)
    command_line: int
    partitions: PartitionTypes
    protection: BranchProtection
    board: Board

    @property
    def removable(self) -> str:
        """What firmware starts where it knows of no other program, in EFI/BOOT."""
        return f"BOOT{self.efi.upper()}.EFI"

    @property
    def loader(self) -> str:
        """systemd-boot's file."""
        return f"systemd-boot{self.efi}.efi"

    @property
    def stub(self) -> str:
        """The file of systemd that a UKI begins with."""
        return f"linux{self.efi}.efi.stub"


X86_64 = Architecture(
    name="x86_64",
    debian="amd64",
    gentoo="amd64",
    cloud="x86_64",
    efi="x64",
    elf="EM_X86_64",
    command_line=2047,
    partitions=PartitionTypes(
        root=UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"),
        usr=UUID("8484680c-9521-48c6-9c11-b0720656f69e"),
        usr_verity=UUID("77ff5f63-e7b6-4633-acf4-1565b864c0e6"),
        usr_verity_sig=UUID("e7bb33fb-06cf-4e81-8273-e543b413e2e2"),
    ),
    # indirect branch tracking and shadow stack
    protection=BranchProtection(property="GNU_PROPERTY_X86_FEATURE_1_AND", bits=0b11),
    board=Board(
        program="qemu-system-x86_64",
        package="qemu-system-x86",
        firmware_package="ovmf",
        machine="q35",
        smm=True,
        code="/usr/share/OVMF/OVMF_CODE_4M.fd",
        secure_code="/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
        variables="/usr/share/OVMF/OVMF_VARS_4M.fd",
        elsewhere=(
            "/usr/share/ovmf/OVMF.fd",
            "/usr/share/edk2/x64/OVMF.4m.fd",
            "/usr/share/edk2/ovmf/OVMF.stateless.fd",
        ),
    ),
)

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType({row.name: row for row in (X86_64,)})
# that of a manifest that names none
DEFAULT = X86_64
