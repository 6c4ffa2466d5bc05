"""Disk: tree -> usr image -> initrd and UKI -> disk."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from uuid import UUID

from builder.assembly.initrd import make_initrd
from builder.build.targets import disk_size
from builder.build.tree import Trees
from builder.errors import Code, ColvertError
from builder.formats.gpt import Contents, Sizes
from builder.manifest.model import Disk, Usr
from builder.packages.portage.config import PACKAGE_EPOCH
from builder.pipeline.key import digest_file, digest_value
from builder.pipeline.stage import Work
from builder.pipeline.store import Entry
from builder.signing import authenticode
from builder.signing.attach import BootSignatures
from builder.tools.erofs import ErofsSettings, make_erofs
from builder.tools.esp import BootFiles, make_esp
from builder.tools.oem import make_oem
from builder.tools.sfdisk import make_disk
from builder.tools.uki import LOADER, STUB, UkiParts, make_uki
from builder.tools.verity import make_verity, signature_partition
from builder.updates.contents import LOADER as LOADER_FILE
from builder.updates.contents import ROOT_HASH, ROOT_HASH_SIGNATURE, VERITY_SIGNATURE

# A new entry's tries before the other slot is taken (systemd-boot, "Boot Counting").
TRIES = 3


@dataclass
class Disks(Trees):
    """The disk of the tree and what it is made of, each made when it is first asked for."""

    # what the signing step gives back; a build has none
    signatures: BootSignatures = field(default_factory=BootSignatures, kw_only=True)

    @cached_property
    def usr(self) -> Entry:
        """out/usr.raw, out/usr.verity and out/roothash."""
        manifest = self.session.loaded.manifest
        inputs = {
            "tree": self.tree.digest,
            "manifest": manifest.part_json("id", "usr", "disk"),
            "epoch": str(self.session.loaded.epoch),
        }
        return self.stage("usr", inputs, (self.tree,), self._make_usr)

    def _make_usr(self, work: Work) -> None:
        loaded, root = self.session.loaded, self.session.sdk.root
        disk = loaded.manifest.disk
        work.phase("erofs")
        make_erofs(
            self.tree.out / "tree/usr",
            work.out / "usr.raw",
            sdk_root=root,
            epoch=loaded.epoch,
            settings=_compression(loaded.manifest.usr),
            limit=disk.usr_size,
        )
        work.phase("verity")
        verity = make_verity(
            work.out / "usr.raw",
            work.out / "usr.verity",
            sdk_root=root,
            identity=loaded.manifest.id,
            version=loaded.version,
            limit=disk.verity_size,
        )
        (work.out / "roothash").write_text(verity.root_hash)

    @cached_property
    def initrd(self) -> Entry:
        """out/initrd"""
        # its clock is the packages', so that an update changes only what really differs
        inputs = {"tree": self.tree.digest, "epoch": str(PACKAGE_EPOCH)}
        return self.stage("initrd", inputs, (self.tree,), self._make_initrd)

    def _make_initrd(self, work: Work) -> None:
        tree, root = self.tree.out, self.session.sdk.root
        make_initrd(tree / "tree", tree / "side", work.out / "initrd", sdk_root=root, epoch=PACKAGE_EPOCH)

    @property
    def root_hash(self) -> str:
        return (self.usr.out / "roothash").read_text()

    @cached_property
    def uki(self) -> Entry:
        """out/uki.efi: unsigned; it names its /usr by the root hash."""
        inputs = {
            "tree": self.tree.digest,
            "initrd": self.initrd.digest,
            "roothash": self.root_hash,
            "manifest": self.session.loaded.manifest.part_json("kernel.command_line"),
        }
        return self.stage("uki", inputs, (self.tree, self.initrd), self._make_uki)

    def _make_uki(self, work: Work) -> None:
        tree = self.tree.out
        release = json.loads((tree / "report.json").read_text())["kernel"]
        if release is None:
            raise ColvertError(
                Code.IMAGE_INVALID,
                "the image has no kernel",
                hint="name one under `kernel: package:` in the manifest",
            )
        words = (f"usrhash={self.root_hash}", *self.session.loaded.manifest.kernel.command_line)
        parts = UkiParts(
            kernel=tree / "side/usr/lib/modules" / release / "vmlinuz",
            initrd=self.initrd.out / "initrd",
            cmdline=" ".join(words),
            os_release=tree / "tree/usr/lib/os-release",
            uname=release,
            stub=tree / "side" / STUB,
        )
        make_uki(parts, work.out / "uki.efi", sdk_root=self.session.sdk.root)

    @property
    def loader(self) -> Path:
        """The boot loader, unsigned."""
        return self.tree.out / "tree" / LOADER

    @property
    def uki_name(self) -> str:
        return f"{self.session.loaded.manifest.id}_{self.session.loaded.version}.efi"

    @cached_property
    def boot(self) -> Entry:
        """out: UKI, boot loader and root hash, with the signatures that are there."""
        inputs = {
            "uki": self.uki.digest,
            "tree": self.tree.digest,
            "roothash": self.root_hash,
            "manifest": self.session.loaded.manifest.part_json("id"),
            "signatures": digest_value(self.signatures.inputs()),
            "release": self.code_of("release"),
        }
        return self.stage("boot", inputs, (self.tree, self.uki), self._make_boot)

    def _make_boot(self, work: Work) -> None:
        own = self.signatures
        _sign_program(self.uki.out / "uki.efi", work.out / self.uki_name, own.uki)
        _sign_program(self.loader, work.out / LOADER_FILE, own.loader)
        (work.out / ROOT_HASH).write_text(self.root_hash)
        if own.root_hash is not None:
            (work.out / ROOT_HASH_SIGNATURE).write_bytes(own.root_hash)
            content = signature_partition(self.root_hash, own.certificate, own.root_hash)
            (work.out / VERITY_SIGNATURE).write_bytes(content)

    @cached_property
    def disk(self) -> Entry:
        """out/disk.raw: the GPT disk with slot A filled; out/esp.raw is not kept."""
        inputs = {
            "usr": self.usr.digest,
            "boot": self.boot.digest,
            "manifest": self.session.loaded.manifest.part_json("id", "disk"),
            "epoch": str(self.session.loaded.epoch),
            **{f"enroll:{name}": digest_file(path) for name, path in self._enrolled().items()},
        }
        return self.stage("disk", inputs, (self.usr, self.boot), self._make_disk)

    def _enrolled(self) -> dict[str, Path]:
        """The keys that machines take at first boot, where the manifest says so."""
        return {source.path.name: source.path for source in self.session.loaded.manifest.keys.enroll}

    def _make_disk(self, work: Work) -> None:
        work.phase("ESP")
        esp = self._make_esp(work.scratch / "esp.raw")
        oem = self._make_oem(work.scratch / "oem.raw")
        work.phase("GPT")
        loaded, hashed, signature = self.session.loaded, self.root_hash, self.boot.out / VERITY_SIGNATURE
        disk = loaded.manifest.disk
        contents = Contents(
            id=loaded.manifest.id,
            version=loaded.version,
            esp=esp,
            usr=self.usr.out / "usr.raw",
            verity=self.usr.out / "usr.verity",
            usr_uuid=_half(hashed, 0),
            verity_uuid=_half(hashed, 1),
            oem=oem,
            signature=signature if signature.exists() else None,
            sizes=_sizes(disk),
        )
        make_disk(contents, work.out / "disk.raw", sdk_root=self.session.sdk.root, size=disk_size(disk))

    @property
    def _identity(self) -> str:
        return f"{self.session.loaded.manifest.id} {self.session.loaded.version}"

    def _make_esp(self, out: Path) -> Path:
        loaded = self.session.loaded
        boot = BootFiles(
            self.boot.out / LOADER_FILE,
            self.boot.out / self.uki_name,
            f"{loaded.manifest.id}_{loaded.version}+{TRIES}.efi",
            keys=self._enrolled(),
        )
        return make_esp(
            boot,
            out,
            sdk_root=self.session.sdk.root,
            size=loaded.manifest.disk.esp_size,
            epoch=loaded.epoch,
            identity=self._identity,
        )

    def _make_oem(self, out: Path) -> Path:
        loaded = self.session.loaded
        return make_oem(
            None,
            out,
            sdk_root=self.session.sdk.root,
            size=loaded.manifest.disk.oem_size,
            epoch=loaded.epoch,
            identity=self._identity,
        )


def _sign_program(source: Path, target: Path, signatures: tuple[bytes, ...]) -> None:
    """The program with its signatures; without any, as it is."""
    if signatures:
        program = authenticode.parse_pe(source.read_bytes())
        target.write_bytes(authenticode.attach(program, signatures))
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _sizes(disk: Disk) -> Sizes:
    return Sizes(
        esp=disk.esp_size,
        usr=disk.usr_size,
        verity=disk.verity_size,
        signature=disk.signature_size,
        oem=disk.oem_size,
    )


def _half(root_hash: str, which: int) -> UUID:
    """The partition UUID that is half of a root hash (Discoverable Partitions Specification)."""

    return UUID(root_hash[32 * which : 32 * which + 32])


def _compression(usr: Usr) -> ErofsSettings:
    algorithm, _, level = usr.compression.partition(",")
    return ErofsSettings(algorithm, int(level) if level else None, usr.cluster_size)
