"""`colvert verify --image` on what every target gives, and on files that somebody else made or damaged."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner

from builder.arch import DEFAULT
from builder.build.disk import DISK
from builder.build.session import Session
from builder.cli.verify import cli
from builder.formats.gpt import MIB, SECTOR
from builder.formats.table import ENTRY, ENTRY_SIZE
from builder.platforms import PLATFORMS, Context, Need
from builder.tools.workspace import bench
from tests.build.places import find_partition, read_table, workplace
from tests.releases import Variant
from tests.targets import Targets

ARM_USR = UUID("b0e01050-ee5f-4390-949a-9101b17104e9")
IMAGES = (
    "brightbox .qcow2", "ec2 .raw", "ec2 .vmdk", "eucalyptus .raw", "gce .tar.gz", "libvirt .qcow2",
    "openstack .qcow2", "qemu .qcow2", "rackspace .vhd", "vagrant .libvirt.box", "vagrant .virtualbox.box",
    "vagrant .vmware_desktop.box", "vmware .ova", "vmware .vmdk",
)  # fmt: skip
FORMAT = {
    **dict.fromkeys(("ec2 .raw", "eucalyptus .raw", "gce .tar.gz"), "raw"),
    **dict.fromkeys((name for name in IMAGES if name.endswith((".qcow2", ".libvirt.box"))), "qcow2"),
    "rackspace .vhd": "vpc",
}
FORMATS = ("ec2 .raw", "ec2 .vmdk", "gce .tar.gz", "qemu .qcow2", "rackspace .vhd", "vmware .ova")


@dataclass(frozen=True)
class Bank:
    """A release with all its images, and a place to damage copies in."""

    targets: Targets
    work: Path
    session: Session

    @property
    def sdk_root(self) -> Path:
        return self.session.sdk.root

    @property
    def version(self) -> str:
        return self.targets.root.name

    def file(self, name: str) -> Path:
        platform, suffix = name.split()
        return self.targets.file(platform, suffix)

    def copy(self, name: str) -> Path:
        """A sparse copy."""
        path = self.work / self.file(name).name
        subprocess.run(["cp", "--sparse=always", self.file(name), path], check=True)
        return path

    def verify(self, image: Path) -> tuple[int, str]:
        words = ["--image", str(image), "--release", str(self.targets.root)]
        result = CliRunner().invoke(cli, words)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    def refused(self, image: Path) -> str:
        code, said = self.verify(image)
        assert code == 2, said
        return said

    def qemu_img(self, image: Path, out: str, *words: str) -> Path:
        """A file that qemu-img makes; IMAGE and OUT stand for the files."""
        with bench(self.work / out, self.sdk_root, {"image": image}) as table:
            places = {"IMAGE": table.source("image"), "OUT": table.target("out")}
            table.run("qemu-img", *(places.get(word, word) for word in words))
            return table.take("out", self.work / out)

    def archive(self, name: str, members: Sequence[tuple[str, bytes]]) -> Path:
        path = self.work / name
        with tarfile.open(path, "w") as archive:
            for member, data in members:
                info = tarfile.TarInfo(member)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        return path


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    yield from workplace()


@pytest.fixture
def bank(targets: Targets, targets_session: Session, place: Path) -> Iterator[Bank]:
    work = place / "work"
    work.mkdir()
    work.chmod(0o755)
    yield Bank(targets, work, targets_session)
    shutil.rmtree(work)


def test_every_image_is_in_the_list(targets: Targets) -> None:
    """A target more is tested here too: all that is no text, no firmware and no description."""
    found = {
        f"{path.parent.name} {path.name.partition(f'-{path.parent.name}')[2]}"
        for path in targets.root.glob("*/*")
        if path.parent.name in PLATFORMS and path.suffix not in (".json", ".xml", ".vmx", ".sh", ".fd")
    }
    assert found == set(IMAGES)


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_of_each_target(name: str, bank: Bank) -> None:
    image = bank.file(name)
    code, said = bank.verify(image)
    assert code == 0, said
    assert f"{image}: identical to {image.parent.name}/{image.name} of the release" in said
    assert said.count(": same as the release\n") == 2
    assert f"ok  format: {FORMAT.get(name, 'vmdk')}\n" in said
    assert "not checked" not in said


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_is_cut_off(name: str, bank: Bank) -> None:
    """In the middle, and just before its end: where a VHD's footer and a VMDK's marker are."""
    image = bank.copy(name)
    size = image.stat().st_size
    os.truncate(image, size // 2 // 512 * 512)
    bank.refused(image)
    os.truncate(image, 100)
    bank.refused(image)


@pytest.mark.parametrize("mode", [0o644, 0o600])
def test_a_file_in_a_closed_directory(mode: int, bank: Bank) -> None:
    closed = bank.work / "closed"
    closed.mkdir(0o700)
    image = bank.copy("qemu .qcow2").rename(closed / "disk.qcow2")
    image.chmod(mode)
    code, said = bank.verify(image)
    assert code == 0, said
    assert image.stat().st_mode & 0o777 == mode


def test_the_same_disk_in_another_file(bank: Bank) -> None:
    """It is told that the file is not the release's, and what was not looked at."""
    image = bank.qemu_img(bank.file("qemu .qcow2"), "disk.vhdx", "convert", "-O", "vhdx", "IMAGE", "OUT")
    code, said = bank.verify(image)
    assert code == 0, said
    assert "not a file of the release" in said and "not checked: OEM" in said


def test_a_file_whose_name_says_another_format(bank: Bank) -> None:
    """Who writes it to a disk gets something else than who lets QEMU look at it."""
    image = bank.copy("qemu .qcow2").rename(bank.work / "disk.img")
    assert "has the format qcow2, not raw" in bank.refused(image)


def test_a_file_that_refers_to_others(bank: Bank) -> None:
    words: tuple[str, ...] = ("create", "-f", "qcow2", "-F", "qcow2", "-b", "IMAGE", "OUT")
    assert "refers to other files" in bank.refused(bank.qemu_img(bank.file("qemu .qcow2"), "a.qcow2", *words))
    words = ("create", "-f", "qcow2", "-o", "data_file=/run/out/data,data_file_raw=on", "OUT", "1G")
    assert "refers to other files" in bank.refused(bank.qemu_img(bank.file("ec2 .vmdk"), "b.qcow2", *words))
    descriptor = bank.work / "disk.vmdk"
    descriptor.write_text(
        '# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'
        'RW 2048 FLAT "/usr/bin/qemu-img" 0\n'
    )
    assert "refers to other files" in bank.refused(descriptor)


def test_archives_that_do_not_hold_one_disk(bank: Bank) -> None:
    inner = b"x" * 1000
    two = bank.archive("two.ova", [("a.ovf", b""), ("a.vmdk", inner), ("b.vmdk", inner)])
    assert "contains 2 disks" in bank.refused(two)
    assert "contains 0 disks" in bank.refused(bank.archive("none.ova", [("a.ovf", b"")]))
    same = bank.archive("same.box", [("box.img", inner), ("./box.img", inner)])
    assert "duplicate archive member" in bank.refused(same)


@pytest.mark.parametrize("name", ["../box.img", "/etc/box.img", "a/../../b.json"])
def test_archives_with_paths_that_lead_out(name: str, bank: Bank) -> None:
    members = [("box.img", b"x")] if name.endswith("json") else []
    assert "outside the archive" in bank.refused(bank.archive("path.box", [*members, (name, b"x")]))


def test_archives_with_links(bank: Bank) -> None:
    path = bank.work / "link.box"
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("box.img")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    assert "is a link" in bank.refused(path)


def test_an_ova_whose_manifest_does_not_fit(bank: Bank) -> None:
    """The importer would say so too."""
    image = bank.work / "other.ova"
    with tarfile.open(bank.file("vmware .ova")) as old, tarfile.open(image, "w") as new:
        for member in old.getmembers():
            stream = old.extractfile(member)
            assert stream is not None
            data = stream.read()
            if member.name.endswith(".mf"):
                data = data.replace(b"-disk1.vmdk)= ", b"-disk1.vmdk)= 0")[: len(data)]
            new.addfile(member, io.BytesIO(data))
    assert "digest of the disk in the archive's manifest is wrong" in bank.refused(image)


@pytest.fixture(scope="module")
def other(targets: Targets, place: Path) -> Callable[[str], Path]:
    """Disks of other releases that were built as properly, made once."""
    made: dict[str, Path] = {}

    def disk(version: str) -> Path:
        if version not in made:
            folder = place / version
            folder.mkdir()
            built = Variant(version, {"/usr/share/other": "other\n"}).make(folder, "disk")
            made[version] = built.path("disk", DISK)
        return made[version]

    return disk


def test_an_ova_with_the_disk_of_another_release(bank: Bank, other: Callable[[str], Path]) -> None:
    """Of the very same version; its manifest is right, and it was made as the release's was."""
    version = bank.version
    manifest = bank.session.loaded.manifest
    context = Context(
        manifest.id, manifest.name, version, bank.sdk_root, bank.session.loaded.epoch, architecture=DEFAULT
    )
    PLATFORMS["vmware"].emit({Need.DISK: other(version)}, context, bank.work / "out")
    [ova] = (bank.work / "out").glob("*.ova")
    said = bank.refused(ova)
    for place in (f"{manifest.id}-usr_{version}", f"{manifest.id}-usr-verity_{version}", "ESP"):
        assert f"{place}: error: " in said


def test_another_version(bank: Bank, other: Callable[[str], Path]) -> None:
    said = bank.refused(other("99.1.1"))
    assert f"0 partitions with the label colvert-usr_{bank.version}" in said
    assert "the disk has colvert-usr-verity-sig_99.1.1" in said.replace("'", "")


def rewrite(disk: Path, change: Mapping[str, Callable[[bytearray], None]]) -> None:
    """Change entries of both partition tables by their label, and put the checksums right."""
    last = disk.stat().st_size - SECTOR
    with disk.open("r+b") as stream:
        stream.seek(2 * SECTOR)
        entries = bytearray(stream.read(32 * SECTOR))
        for at in range(0, len(entries), ENTRY_SIZE):
            label = entries[at + 56 : at + ENTRY_SIZE].decode("utf-16-le").rstrip("\0")
            if label in change:
                entry = bytearray(entries[at : at + ENTRY_SIZE])
                change[label](entry)
                entries[at : at + ENTRY_SIZE] = entry
        for place, own in ((2 * SECTOR, SECTOR), (last - len(entries), last)):
            stream.seek(own)
            header = bytearray(stream.read(SECTOR))
            struct.pack_into("<I", header, 88, zlib.crc32(entries))
            struct.pack_into("<I", header, 16, 0)
            struct.pack_into("<I", header, 16, zlib.crc32(header[:92]))
            for where, data in ((place, entries), (own, header)):
                stream.seek(where)
                stream.write(data)


def renamed(label: str) -> Callable[[bytearray], None]:
    def change(entry: bytearray) -> None:
        entry[56:ENTRY_SIZE] = label.encode("utf-16-le").ljust(72, b"\0")

    return change


def retyped(kind: UUID) -> Callable[[bytearray], None]:
    def change(entry: bytearray) -> None:
        entry[:16] = kind.bytes_le

    return change


def test_the_partition_table(bank: Bank) -> None:
    assert ENTRY_SIZE == struct.calcsize(ENTRY) == 128
    disk, usr = bank.copy("ec2 .raw"), f"colvert-usr_{bank.version}"
    esp = UUID(read_table(disk, sdk_root=bank.sdk_root)["partitions"][0]["type"])
    rewrite(disk, {usr: retyped(ARM_USR)})
    assert f"{usr} has the type {ARM_USR}: it is another partition, or not for x86_64" in bank.refused(disk)
    disk = bank.copy("ec2 .raw")
    # firmware would look for a boot loader there too
    rewrite(disk, {"OEM": retyped(esp)})
    assert f"OEM has the type {esp}" in bank.refused(disk)
    disk = bank.copy("ec2 .raw")
    rewrite(disk, {"OEM": renamed("evil")})
    assert "unknown partition 'evil'" in bank.refused(disk)
    disk = bank.copy("ec2 .raw")
    # the kernel would take the second table
    poke(disk, 2 * SECTOR + 60, b"!")
    assert "partition table is damaged" in bank.refused(disk)
    disk = bank.copy("ec2 .raw")
    # firmware and kernel would take it as a DOS disk
    poke(disk, 450, b"\xef")
    assert "not a protective MBR" in bank.refused(disk)
    disk = bank.copy("ec2 .raw")
    poke(disk, disk.stat().st_size - 33 * SECTOR + 56, b"!")
    assert "backup partition table" in bank.refused(disk)


def poke(disk: Path, at: int, data: bytes) -> None:
    with disk.open("r+b") as stream:
        stream.seek(at)
        stream.write(data)


def test_a_program_for_a_bios(bank: Bank) -> None:
    disk = bank.copy("ec2 .raw")
    poke(disk, 0, b"\xeb")
    assert "BIOS boot code" in bank.refused(disk)
    poke(disk, 0, b"\0")
    start, _ = find_partition(disk, "BIOS-BOOT", sdk_root=bank.sdk_root)
    poke(disk, start + 4096, b"\xeb")
    assert "BIOS boot code" in bank.refused(disk)


def test_data_behind_usr(bank: Bank) -> None:
    disk = bank.copy("ec2 .raw")
    start, size = find_partition(disk, f"colvert-usr_{bank.version}", sdk_root=bank.sdk_root)
    poke(disk, start + size - 1, b"!")
    assert "data after the release's content" in bank.refused(disk)


def mtools(bank: Bank, disk: Path, *words: str) -> None:
    """Change the ESP of a disk in its place."""
    start, size = find_partition(disk, "ESP", sdk_root=bank.sdk_root)
    part = bank.work / "esp"
    with disk.open("rb") as stream, part.open("wb") as out:
        stream.seek(start)
        for _ in range(size // MIB):
            block = stream.read(MIB)
            out.seek(len(block), os.SEEK_CUR) if not any(block) else out.write(block)
        out.truncate(size)
    evil = bank.work / "evil"
    evil.write_bytes(b"title evil\nefi /evil\n")
    with bench(part, bank.sdk_root, {"esp": part, "evil": evil}) as table:
        table.run("cp", "--sparse=always", table.source("esp"), table.target("esp"))
        rest = (table.source("evil") if word == "EVIL" else word for word in words[1:])
        table.run(words[0], "-i", table.target("esp"), *rest)
        table.take("esp", part)
    subprocess.run(
        ["dd", f"if={part}", f"of={disk}", "bs=1M", f"seek={start // MIB}", "conv=notrunc,sparse"],
        check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def rare(words: tuple[str, ...], why: str) -> Any:
    """A disk is copied and read for each: a sample runs every time."""
    return pytest.param(words, why, marks=pytest.mark.long)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        # an entry that systemd-boot would show: no .efi in its name
        (("mcopy", "EVIL", "::/loader/evil.conf"), "'loader/evil.conf' is not a file of the release"),
        rare(("mcopy", "EVIL", "::/EFI/Linux/zz.efi"), "efi/linux/zz.efi differs from the release"),
        rare(("mcopy", "-o", "EVIL", "::/loader/loader.conf"), "loader/loader.conf differs from the release"),
        (("mdel", "::/EFI/BOOT/BOOTX64.EFI"), "efi/boot/bootx64.efi is missing"),
        rare(("mdeltree", "::/EFI/Linux"), "the UKI is missing"),
    ],
)  # fmt: skip
def test_the_files_of_the_esp(words: tuple[str, ...], why: str, bank: Bank) -> None:
    disk = bank.copy("ec2 .raw")
    mtools(bank, disk, *words)
    said = bank.refused(disk)
    assert f"ESP: error: {why}" in said
    assert said.count("error: ") == 1


def test_a_file_that_is_hidden(bank: Bank) -> None:
    disk = bank.copy("ec2 .raw")
    mtools(bank, disk, "mcopy", "EVIL", "::/EFI/BOOT/x.efi")
    mtools(bank, disk, "mattrib", "+h", "::/EFI/BOOT/x.efi")
    assert "'efi/boot/x.efi' is not a file of the release" in bank.refused(disk)


def test_what_is_no_image(bank: Bank) -> None:
    for data in (b"", b"text\n", b"\x1f\x8b", b"\x1f\x8b\x08" + bytes(1000), bytes(1 << 20)):
        for name in ("file.raw", "file.qcow2", "file.tar.gz"):
            path = bank.work / name
            path.write_bytes(data)
            bank.refused(path)
    assert "No such file" in bank.refused(bank.work / "none")
