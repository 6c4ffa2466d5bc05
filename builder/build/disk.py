"""Stages `disk` and `packed`: the GPT disk with slot A filled, and its data compressed for the platforms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from uuid import UUID

from builder.arch import ARCHITECTURES
from builder.boot import LOADERS, BootFiles
from builder.boot.esp import make_esp
from builder.build.usr import USR, VERITY
from builder.formats.gpt import Contents, Sizes
from builder.pipeline.artifact import Artifact, Part
from builder.pipeline.stage import Stage, Work
from builder.tools.oem import make_oem
from builder.tools.pack import pack
from builder.tools.sfdisk import make_disk
from builder.updates.contents import VERITY_SIGNATURE, uki_name

DISK = "disk.raw"


@dataclass(frozen=True)
class Disk(Stage):
    """out/disk.raw: the GPT disk with slot A filled."""

    name: ClassVar[str] = "disk"

    architecture: str
    loader: str
    usr: Artifact
    boot: Artifact
    root_hash: str
    id: str
    version: str
    epoch: int
    sizes: Sizes
    # bytes of the whole disk
    size: int
    # PK.auth and so on, which machines without keys take at first boot
    enrolled: Artifact | None

    @property
    def label(self) -> str:
        return f"{self.id} {self.version}"

    @property
    def modules(self) -> tuple[str, ...]:
        return (type(self).__module__, LOADERS[self.loader].module)

    @property
    def identity(self) -> str:
        """Text from which volume ids are derived."""
        return f"{self.id} {self.version}"

    def run(self, work: Work) -> None:
        work.phase("ESP")
        esp = self._make_esp(work)
        oem = make_oem(
            None,
            work.scratch / "oem.raw",
            sdk_root=work.sdk.root,
            size=self.sizes.oem,
            epoch=self.epoch,
            identity=self.identity,
        )
        work.phase("GPT")
        usr, signature = work.path(self.usr), work.path(self.boot) / VERITY_SIGNATURE
        contents = Contents(
            architecture=ARCHITECTURES[self.architecture],
            id=self.id,
            version=self.version,
            esp=esp,
            usr=usr / USR,
            verity=usr / VERITY,
            usr_uuid=_half(self.root_hash, 0),
            verity_uuid=_half(self.root_hash, 1),
            oem=oem,
            signature=signature if signature.exists() else None,
            sizes=self.sizes,
        )
        make_disk(contents, work.out / DISK, sdk_root=work.sdk.root, size=self.size)

    def _make_esp(self, work: Work) -> Path:
        boot, architecture = work.path(self.boot), ARCHITECTURES[self.architecture]
        loader, uki = LOADERS[self.loader], uki_name(self.id, self.version)
        keys = {} if self.enrolled is None else {p.name: p for p in work.path(self.enrolled).iterdir()}
        files = BootFiles(
            architecture,
            boot / architecture.loader,
            boot / uki,
            loader.new_entry(uki),
            keys=dict(sorted(keys.items())),
        )
        return make_esp(
            loader,
            files,
            work.scratch / "esp.raw",
            sdk_root=work.sdk.root,
            size=self.sizes.esp,
            epoch=self.epoch,
            identity=self.identity,
        )


def _half(root_hash: str, which: int) -> UUID:
    """The partition UUID that is half of a root hash (Discoverable Partitions Specification)."""
    return UUID(root_hash[32 * which : 32 * which + 32])


@dataclass(frozen=True)
class PackedDisk(Stage):
    """out/data and out/index: the disk's data, compressed once for all platforms."""

    name: ClassVar[str] = "packed"

    disk: Part
    id: str
    version: str

    @property
    def label(self) -> str:
        return f"{self.id} {self.version}"

    def run(self, work: Work) -> None:
        pack(work.path(self.disk), work.out, sdk_root=work.sdk.root)
