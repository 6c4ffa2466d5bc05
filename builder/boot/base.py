"""Shape of a boot loader: its firmware, its programs in a tree, the files of its partition."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from builder.arch import Architecture


class Firmware(StrEnum):
    """What starts a loader."""

    UEFI = "uefi"


@dataclass(frozen=True)
class BootFiles:
    """What a loader's partition is filled with: its program, a UKI, and the name of the UKI's entry."""

    architecture: Architecture
    loader: Path
    uki: Path
    uki_name: str
    # PK.auth and so on, to be enrolled
    keys: Mapping[str, Path] = field(default_factory=dict)


class Loader(ABC):
    """A boot loader. It holds no state."""

    name: ClassVar[str]
    firmware: ClassVar[Firmware]
    # label of the partition that holds its files
    partition: ClassVar[str]
    # program of the disk's first sector; None: the firmware reads files
    boot_code: ClassVar[bytes | None] = None

    @property
    def module(self) -> str:
        """The module of the loader."""
        return type(self).__module__

    @abstractmethod
    def program(self, architecture: Architecture) -> str:
        """The path of its program in the tree."""

    @abstractmethod
    def stub(self, architecture: Architecture) -> str:
        """The path, beside the tree, of the program that a UKI begins with."""

    @abstractmethod
    def new_entry(self, uki: str) -> str:
        """The name of a UKI's entry that has not proved itself yet, from the name of one that has."""

    @abstractmethod
    def files(self, given: BootFiles, work: Path) -> dict[str, Path]:
        """Path in its partition -> file that goes there; texts of its own are written to `work`."""
