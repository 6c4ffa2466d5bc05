"""Signed: disks whose boot loader and UKI carry signatures, or what should stand in their place.

The signatures are made here, by the SDK's systemd-sbsign and straight from the private keys: these tests
are about what firmware and kernel take, not about how a release is signed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder

from builder.arch import DEFAULT
from builder.boot import BootFiles
from builder.boot.systemd_boot import LOADER
from builder.formats.gpt import MIB, Contents, Sizes
from builder.machine.files import Host
from builder.machine.qemu import Firmware
from builder.machine.variables import enroll
from builder.sandbox.home import open_home
from builder.signing.project_keys import ProjectKeys
from builder.tools.esp import make_fat
from builder.tools.oem import make_oem
from builder.tools.sfdisk import make_disk
from builder.tools.workspace import bench
from tests.slots import EPOCH, ESP_SIZE, Release

SECURE_CODE = Firmware.secure(Path()).code
ADDON_STUB = f"/usr/lib/systemd/boot/efi/addon{DEFAULT.efi}.efi.stub"
SBSIGN = "/usr/lib/systemd/systemd-sbsign"


def sign(program: Path, out: Path, keys: ProjectKeys, sdk_root: Path) -> Path:
    """An EFI program with db's signature."""
    inputs = {"program": program}
    for suffix in ("key", "crt"):
        # the directory of keys is closed to the sandbox's own identity
        copy = out.with_name(f"{out.name}.{suffix}")
        copy.write_bytes((keys.directory / f"db.{suffix}").read_bytes())
        inputs[suffix] = copy
    with bench(out, sdk_root, inputs) as table:
        table.run(
            SBSIGN, "sign", "--private-key", table.source("key"), "--certificate", table.source("crt"),
            "--output", table.target("signed"), table.source("program"),
        )  # fmt: skip
        return table.take("signed", out)


def make_addon(words: str, out: Path, sdk_root: Path) -> Path:
    """A UKI's addon, unsigned, that adds words to the command line."""
    with bench(out, sdk_root, {}) as table:
        table.run(
            "ukify", "build", "--cmdline", words, "--stub", ADDON_STUB, "--output", table.target("addon")
        )  # fmt: skip
        return table.take("addon", out)


def sign_root_hash(root_hash: str, keys: ProjectKeys, name: str) -> bytes:
    """A detached PKCS#7 over the root hash as text, as the kernel wants it."""
    options = [
        PKCS7Options.DetachedSignature,
        PKCS7Options.Binary,
        PKCS7Options.NoAttributes,
        PKCS7Options.NoCerts,
    ]
    builder = PKCS7SignatureBuilder().set_data(root_hash.encode())
    return builder.add_signer(keys.certificate(name), keys.private(name), SHA256()).sign(
        Encoding.DER, options
    )


def firmware(host: Host, keys: ProjectKeys, out: Path) -> Firmware:
    """A firmware with the keys enrolled."""
    return Firmware.secure(enroll(host.sdk, open_home().cache, keys.variables(), out))


@dataclass(frozen=True)
class SignedDisk:
    """A disk with slot A filled and an ESP of these files."""

    release: Release
    loader: Path
    # name in EFI/Linux -> UKI
    ukis: Mapping[str, Path]
    # what machines without keys are to enrol
    keys: Mapping[str, Path] = field(default_factory=dict)
    others: Mapping[str, Path] = field(default_factory=dict)

    def make(self, out: Path, sdk_root: Path) -> Path:
        release, work = self.release, out.parent
        first, *_ = self.ukis.values()
        files = LOADER.files(BootFiles(DEFAULT, self.loader, first, "first.efi", keys=self.keys), work)
        del files["EFI/Linux/first.efi"]
        files |= {f"EFI/Linux/{name}": uki for name, uki in self.ukis.items()}
        files |= self.others
        esp = make_fat(
            files, work / "esp.raw", sdk_root=sdk_root, size=ESP_SIZE, epoch=EPOCH, label="ESP",
            identity="signed",
        )  # fmt: skip
        oem = make_oem(None, work / "oem.raw", sdk_root=sdk_root, size=256 * MIB, epoch=EPOCH, identity="s")
        contents = Contents(
            architecture=DEFAULT, id=release.id, version=release.version, esp=esp, usr=release.usr,
            verity=release.verity, usr_uuid=release.half(0), verity_uuid=release.half(1), oem=oem,
            sizes=Sizes(esp=ESP_SIZE),
        )  # fmt: skip
        return make_disk(contents, out, sdk_root=sdk_root)


def with_words(release: Release, words: Sequence[str]) -> Release:
    """The same release with another command line."""
    return replace(release, words=tuple(words))
