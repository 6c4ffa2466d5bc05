"""Stages `uki` and `boot`: the unified kernel image, and the boot files with their signatures."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from builder.arch import ARCHITECTURES
from builder.boot import LOADERS
from builder.build.tree import REPORT, SIDE, TREE
from builder.errors import Code, ColvertError
from builder.pipeline.artifact import Artifact, Part
from builder.pipeline.stage import Stage, Work
from builder.signing import authenticode
from builder.signing.boot_signatures import LOADER_ITEM, UKI_ITEM, USR_ROOT_HASH, BootSignatures
from builder.tools.uki import UkiParts, make_uki
from builder.tools.verity import signature_partition
from builder.updates.contents import ROOT_HASH, ROOT_HASH_SIGNATURE, VERITY_SIGNATURE, uki_name

UKI = "uki.efi"


@dataclass(frozen=True)
class Uki(Stage):
    """out/uki.efi: unsigned; it names its /usr by the root hash."""

    name: ClassVar[str] = "uki"

    architecture: str
    loader: str
    tree: Artifact
    initrd: Part
    root_hash: str
    # words of the kernel's command line beside usrhash=
    command_line: tuple[str, ...]
    id: str
    version: str

    @property
    def label(self) -> str:
        return f"{self.id} {self.version}"

    @property
    def modules(self) -> tuple[str, ...]:
        return (type(self).__module__, LOADERS[self.loader].module)

    def run(self, work: Work) -> None:
        tree = work.path(self.tree)
        release = json.loads((tree / REPORT).read_text())["kernel"]
        if release is None:
            raise ColvertError(
                Code.IMAGE_INVALID,
                "the image has no kernel",
                hint="set `kernel: package:` in the manifest",
            )
        architecture = ARCHITECTURES[self.architecture]
        parts = UkiParts(
            architecture=architecture,
            kernel=tree / SIDE / "usr/lib/modules" / release / "vmlinuz",
            initrd=work.path(self.initrd),
            cmdline=" ".join((f"usrhash={self.root_hash}", *self.command_line)),
            os_release=tree / TREE / "usr/lib/os-release",
            uname=release,
            stub=tree / SIDE / LOADERS[self.loader].stub(architecture),
        )
        make_uki(parts, work.out / UKI, sdk_root=work.sdk.root)


@dataclass(frozen=True)
class Boot(Stage):
    """UKI, boot loader and root hash, with the signatures that are there."""

    name: ClassVar[str] = "boot"

    architecture: str
    loader: str
    tree: Part
    uki: Part
    root_hash: str
    id: str
    version: str
    signatures: BootSignatures

    @property
    def label(self) -> str:
        return f"{self.id} {self.version}"

    @property
    def modules(self) -> tuple[str, ...]:
        return (type(self).__module__, LOADERS[self.loader].module)

    def run(self, work: Work) -> None:
        own, architecture = self.signatures, ARCHITECTURES[self.architecture]
        program = work.path(self.tree) / LOADERS[self.loader].program(architecture)
        _sign_program(
            work.path(self.uki), work.out / uki_name(self.id, self.version), own.programs.get(UKI_ITEM, ())
        )
        _sign_program(program, work.out / architecture.loader, own.programs.get(LOADER_ITEM, ()))
        (work.out / ROOT_HASH).write_text(self.root_hash)
        signed = own.root_hashes.get(USR_ROOT_HASH)
        if signed is not None:
            (work.out / ROOT_HASH_SIGNATURE).write_bytes(signed.signature)
            content = signature_partition(self.root_hash, signed.certificate, signed.signature)
            (work.out / VERITY_SIGNATURE).write_bytes(content)
        for path in work.out.iterdir():
            path.chmod(0o644)


def _sign_program(source: Path, target: Path, signatures: tuple[bytes, ...]) -> None:
    """The program with its signatures; without any, as it is."""
    if signatures:
        program = authenticode.parse_pe(source.read_bytes())
        target.write_bytes(authenticode.attach(program, signatures))
    else:
        shutil.copyfile(source, target)
