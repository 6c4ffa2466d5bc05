"""Secure Boot: what the firmware starts, what it refuses, and how a machine comes by its keys.

The firmware is OVMF with SMM. A boot that is refused ends before any kernel, after seconds.
"""

from __future__ import annotations

import base64
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from builder.machine.files import Host, machine
from builder.machine.probe import boot
from builder.machine.qemu import Firmware, MachineSpec
from builder.signing.authenticode import digest_program
from builder.signing.project_keys import ProjectKeys, create, utc_now
from builder.signing.rotation import revoke, rotate
from builder.signing.signature_list import ATTRIBUTES, VENDORS, Signature, read_signatures
from tests.booted import BOOT_SECONDS, Booted, Place, let_in, spec_of, up
from tests.build.places import open_place
from tests.signed import (
    SECURE_CODE,
    SignedDisk,
    firmware,
    make_addon,
    sign,
    sign_root_hash,
    with_words,
)
from tests.slots import Release

pytestmark = pytest.mark.boot

REFUSED_SECONDS = 120.0
# how long a program that was refused gets to prove that it started all the same
AFTERWARDS = 3.0
SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
DB = "/sys/firmware/efi/efivars/db-d719b2cb-3d3a-4596-a3bc-dad00e67656f"
BY_ENTRY, BY_ADDON, BY_SMBIOS = (f"colvert.test={way}" for way in ("entry", "addon", "smbios"))
STUB_EXTRA = "io.systemd.stub.kernel-cmdline-extra="
VERITY = "systemd.verity_usr_options=panic-on-corruption"
# LocateSections of a PE file: name, virtual size, address, raw size, place
SECTION = "<8sIIII"


@dataclass(frozen=True)
class Signers(Place):
    """A release, the project's keys and somebody else's."""

    release: Release
    keys: ProjectKeys
    foreign: ProjectKeys

    def uki(self, words: tuple[str, ...] = ()) -> Path:
        """An unsigned UKI."""
        return self.release.make_uki(self.folder() / "uki.efi", self.host.sdk, words)

    def signed(self, program: Path, keys: ProjectKeys | None = None) -> Path:
        return sign(program, self.folder() / "signed.efi", keys or self.keys, self.host.sdk)

    def disk(self, uki: Path, *, loader: Path | None = None, **more: dict[str, Path]) -> Path:
        """A disk with that UKI; its loader is signed unless another one is given."""
        loader = loader or self.signed(self.release.loader)
        disk = SignedDisk(self.release, loader, {"colvert_1.efi": uki}, **more)
        return disk.make(self.folder() / "disk.raw", self.host.sdk)

    def spec(self, disk: Path, keys: ProjectKeys | None = None) -> MachineSpec:
        """A machine that enforces Secure Boot and lets us in."""
        own = firmware(self.host, keys or self.keys, self.folder() / "vars.fd")
        return spec_of(disk, self.host, firmware=own, isolated=True)


@pytest.fixture(scope="module")
def place(host: Host, slot: Release) -> Iterator[Signers]:
    with open_place() as directory:
        keys, foreign = (create(directory / name, name, utc_now()) for name in ("ours", "foreign"))
        yield Signers(host, directory, slot, keys, foreign)


def enforcing(booted: Booted) -> bool:
    """What the firmware itself says; one without Secure Boot has no such variable."""
    if booted.guest.attempt(f"test -e {SECURE_BOOT}").returncode == 1:
        return False
    content = booted.guest.read(SECURE_BOOT)
    assert content[:4] == struct.pack("<I", 6)
    return content[4:] == b"\x01"


def refused(place: Signers, disk: Path, pattern: str, keys: ProjectKeys | None = None) -> None:
    """Nothing of that disk starts, and the console says why."""
    with machine(place.spec(disk, keys), place.host) as made, boot(made) as running:
        running.wait_for(pattern, REFUSED_SECONDS)
        time.sleep(AFTERWARDS)
        assert "Linux version" not in running.console.text(running.begin)


def section(program: bytes | bytearray, name: bytes) -> int:
    """Where a section's bytes are in a PE file."""
    head = int.from_bytes(program[0x3C:0x40], "little")
    count, optional = struct.unpack_from("<H12xH", program, head + 6)
    for number in range(count):
        found, _, _, _, begin = struct.unpack_from(SECTION, program, head + 24 + optional + 40 * number)
        if found.rstrip(b"\0") == name:
            return int(begin)
    raise AssertionError(f"there is no section {name!r}")


def tampered(program: Path, name: bytes) -> Path:
    """The program with one bit of a section changed."""
    data = bytearray(program.read_bytes())
    data[section(data, name) + 8] ^= 1
    program.write_bytes(data)
    return program


def test_what_is_signed_boots(place: Signers) -> None:
    spec = place.spec(place.disk(place.signed(place.uki())))
    with up(spec, place.host) as booted:
        assert enforcing(booted)
        assert "Secure Boot: enabled (user)" in booted.ask("bootctl status")
        found = read_signatures(booted.guest.read(DB)[4:])
        assert found == (Signature.certificate(place.keys.certificate("db")),)
        assert "ours db" in booted.ask("cat /proc/keys")
        booted.healthy()


def unsigned(place: Signers) -> Path:
    return place.uki()


def by_somebody_else(place: Signers) -> Path:
    return place.signed(place.uki(), place.foreign)


def tampered_kernel(place: Signers) -> Path:
    return tampered(place.signed(place.uki()), b".linux")


def tampered_command_line(place: Signers) -> Path:
    return tampered(place.signed(place.uki()), b".cmdline")


LOADER_SAYS = r"Error loading \\EFI\\Linux\\colvert_1\.efi: (Access denied|Security violation)"


@pytest.mark.parametrize("make", [unsigned, by_somebody_else, tampered_kernel, tampered_command_line])
def test_a_uki_is_refused(place: Signers, make: Callable[[Signers], Path]) -> None:
    refused(place, place.disk(make(place)), LOADER_SAYS)


def test_an_unsigned_loader_is_refused(place: Signers) -> None:
    disk = place.disk(place.signed(place.uki()), loader=place.release.loader)
    refused(place, disk, r"BdsDxe: failed to load Boot0001 .*: Access Denied")


@pytest.mark.parametrize("what", ["program", "certificate"])
def test_what_is_revoked_is_refused(place: Signers, what: str) -> None:
    keys = ProjectKeys(Path(shutil.copytree(place.keys.directory, place.folder() / "keys")))
    uki = place.signed(place.uki(("colvert.test=old",)))
    disk = place.disk(uki)
    if what == "program":
        revoke(keys, Signature.digest(digest_program(uki)), utc_now())
        refused(place, disk, LOADER_SAYS, keys)
    else:
        # with the certificate the loader falls too
        revoke(keys, Signature.certificate(keys.certificate("db")), utc_now())
        refused(place, disk, r"BdsDxe: failed to load Boot0001 .*: Access Denied", keys)


@pytest.mark.long
def test_only_the_revoked_uki_is_refused(place: Signers) -> None:
    """The control: with the same entry in dbx a newer UKI boots."""
    keys = ProjectKeys(Path(shutil.copytree(place.keys.directory, place.folder() / "keys")))
    old = place.signed(place.uki(("colvert.test=old",)))
    revoke(keys, Signature.digest(digest_program(old)), utc_now())
    with up(place.spec(place.disk(place.signed(place.uki())), keys), place.host) as booted:
        assert enforcing(booted)


@pytest.mark.long
@pytest.mark.parametrize("secure", [True, False])
def test_smbios_adds_words_only_without_secure_boot(place: Signers, secure: bool) -> None:
    spec = place.spec(place.disk(place.signed(place.uki())))
    spec = spec if secure else replace(spec, firmware=Firmware())
    with up(replace(spec, oem_strings=(f"{STUB_EXTRA}{BY_SMBIOS}",)), place.host) as booted:
        assert enforcing(booted) == secure
        assert (BY_SMBIOS in booted.ask("cat /proc/cmdline").split()) != secure


@pytest.mark.long
@pytest.mark.parametrize("secure", [True, False])
def test_the_esp_adds_words_only_without_secure_boot(place: Signers, secure: bool) -> None:
    """By an entry of the loader with options of its own, and by an addon that nobody has signed."""
    folder = place.folder()
    entry, conf = folder / "z.conf", folder / "loader.conf"
    # without Secure Boot an entry's options take the place of the UKI's own
    options = " ".join((f"usrhash={place.release.root_hash}", *place.release.words, BY_ENTRY))
    entry.write_text(f"title Z\nefi /EFI/Linux/colvert_1.efi\noptions {options}\n")
    conf.write_text("timeout 0\ndefault z.conf\n")
    others = {
        "loader/entries/z.conf": entry,
        "loader/loader.conf": conf,
        "loader/addons/z.addon.efi": make_addon(BY_ADDON, folder / "addon.efi", place.host.sdk),
    }
    spec = place.spec(place.disk(place.signed(place.uki()), others=others))
    spec = spec if secure else replace(spec, firmware=Firmware())
    with machine(spec, place.host) as made, boot(made) as running:
        booted = let_in(made, running)
        assert enforcing(booted) == secure
        assert "Current Entry: z.conf" in booted.ask("bootctl status")
        words = booted.ask("cat /proc/cmdline").split()
        assert (BY_ENTRY in words) != secure
        assert (BY_ADDON in words) != secure


@pytest.mark.long
def test_a_machine_without_keys_enrols_them_at_first_boot(place: Signers) -> None:
    disk = place.disk(place.signed(place.uki()), keys=place.keys.enrolment())
    setup_mode = Firmware(SECURE_CODE, None, secure_boot=True)
    with machine(replace(place.spec(disk), firmware=setup_mode), place.host) as made, boot(made) as running:
        running.wait_reset(1, BOOT_SECONDS)
        booted = let_in(made, running)
        assert enforcing(booted)
        found = read_signatures(booted.guest.read(DB)[4:])
        assert found == (Signature.certificate(place.keys.certificate("db")),)
        assert running.resets() == 1


def take(booted: Booted, name: str, auth: Path) -> bool:
    """Whether the firmware of a running machine takes a .auth file."""
    variable = f"/sys/firmware/efi/efivars/{name}-{VENDORS[name]}"
    # attributes and content in one write, as efivarfs wants it
    booted.guest.write("/tmp/variable", struct.pack("<I", ATTRIBUTES) + auth.read_bytes())
    booted.guest.attempt(f"chattr -i {variable}")
    return booted.guest.attempt(f"dd if=/tmp/variable of={variable} bs=1M").returncode == 0


@pytest.mark.long
def test_a_running_machine_takes_what_its_own_keys_have_signed(place: Signers) -> None:
    """A db with a second certificate, then a dbx that has the machine's own UKI in it."""
    ours, theirs = (
        ProjectKeys(Path(shutil.copytree(keys.directory, place.folder() / "keys")))
        for keys in (place.keys, place.foreign)
    )
    uki = place.signed(place.uki())
    for keys in (ours, theirs):
        rotate(keys, "db", utc_now())
        revoke(keys, Signature.digest(digest_program(uki)), utc_now())
    with up(place.spec(place.disk(uki)), place.host) as booted:
        for name in ("db", "dbx", "KEK", "PK"):
            assert not take(booted, name, theirs.directory / f"{name}.auth")
        assert take(booted, "db", ours.directory / "db.auth")
        found = read_signatures(booted.guest.read(DB)[4:])
        assert found == tuple(map(Signature.certificate, ours.certificates("db")))
        assert len(found) == 2
        assert take(booted, "dbx", ours.directory / "dbx.auth")
        position = booted.running.console.position()
        booted.guest.attempt("systemctl reboot")
        booted.running.wait_for(LOADER_SAYS, BOOT_SECONDS, after=position)
        assert "Linux version" not in booted.running.console.text(position)


def with_signature(place: Signers, keys: ProjectKeys) -> Signers:
    """The same release, whose command line has the kernel check the root hash's signature."""
    signature = base64.b64encode(sign_root_hash(place.release.root_hash, keys, "db")).decode()
    options = f"{VERITY},root-hash-signature=base64:{signature}"
    words = [options if word == VERITY else word for word in place.release.words]
    assert options in words
    return replace(place, release=with_words(place.release, [*words, "dm_verity.require_signatures=1"]))


@pytest.mark.long
def test_the_kernel_checks_the_root_hashs_signature(place: Signers) -> None:
    ours = with_signature(place, place.keys)
    with up(ours.spec(ours.disk(ours.signed(ours.uki()))), place.host) as booted:
        assert "root_hash_sig_key_desc" in booted.ask("dmsetup table usr")
        assert booted.ask("cat /sys/module/dm_verity/parameters/require_signatures") == "Y"


@pytest.mark.long
def test_the_kernel_refuses_a_root_hash_that_somebody_else_signed(place: Signers) -> None:
    theirs = with_signature(place, place.foreign)
    spec = theirs.spec(theirs.disk(theirs.signed(theirs.uki())))
    with machine(spec, place.host) as made, boot(made) as running:
        running.wait_for(r"verity: Root hash verification failed \(-ENOKEY\)", BOOT_SECONDS)
        running.wait_reset(1, BOOT_SECONDS)
