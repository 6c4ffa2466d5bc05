"""Every platform's outputs with the real SDK: read back by tools that did not write them, block by block.

A reader takes a platform's outputs apart and gives the raw disk that is in each of them; the
rest of this file is the same for all.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import xml.etree.ElementTree
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from builder.arch import DEFAULT
from builder.formats.content import Packed
from builder.formats.gpt import MIB, Contents
from builder.formats.sparse import data_chunks
from builder.pipeline.key import digest_tree
from builder.platforms import PLATFORMS, Context, Need, Settings
from builder.sandbox.sdk import Sdk
from builder.tools.oem import make_oem
from builder.tools.pack import pack
from builder.tools.sfdisk import make_disk
from builder.tools.verity import make_verity
from builder.tools.workspace import bench
from tests.build.places import elsewhere, find_partition, read_table, workplace
from tests.build.test_full_disk import on_tmpfs

EPOCH = 1_700_000_000


place = pytest.fixture(workplace, scope="module")


@pytest.fixture(scope="module")
def disk(place: Path, sdk: Sdk) -> Path:
    """A whole disk: data that compresses, data that does not, and much that is not there."""
    usr, verity, esp, oem = (place / name for name in ("usr", "verity", "esp", "oem"))
    usr.write_bytes(os.urandom(5 * MIB) + bytes(MIB) + b"text " * (1 << 18) + b"end" * 1000)
    made = make_verity(usr, verity, sdk_root=sdk.root, identity="colvert 1")
    esp.write_bytes(b"esp" * 100_000)
    make_oem(None, oem, sdk_root=sdk.root, size=256 * MIB, epoch=EPOCH, identity="colvert 1")
    contents = Contents(
        "colvert", "1", esp, usr, verity, made.data_uuid, made.hash_uuid, oem, architecture=DEFAULT
    )
    return make_disk(contents, place / "disk.raw", sdk_root=sdk.root)


@pytest.fixture(scope="module")
def packed(place: Path, disk: Path, sdk: Sdk) -> Packed:
    (place / "packed").mkdir()
    (place / "packed").chmod(0o755)
    return pack(disk, place / "packed", sdk_root=sdk.root)


def given(disk: Path, packed: Packed) -> dict[Need, Path]:
    return {Need.DISK: disk, Need.PACKED: packed.data.parent}


def context(sdk: Sdk, **settings: int) -> Context:
    return Context("colvert", "Colvert", "1", sdk.root, EPOCH, Settings(**settings), architecture=DEFAULT)


@pytest.fixture(scope="module")
def outputs(place: Path, disk: Path, packed: Packed, sdk: Sdk) -> Callable[[str], Path]:
    """The outputs of a platform, made once."""

    def make(name: str) -> Path:
        out = place / "out" / name
        if not out.exists():
            out.mkdir(parents=True)
            out.parent.chmod(0o755)
            out.chmod(0o755)
            PLATFORMS[name].emit(given(disk, packed), context(sdk), out)
        return out

    return make


# readers: from an output to the raw disk in it


def with_qemu(image: Path, format: str, work: Path, sdk: Sdk) -> Path:
    """What qemu-img reads from an image (of a format that it has not written)."""
    with bench(work / "raw", sdk.root, {"image": image}) as table:
        if format != "vpc":  # which qemu-img cannot check
            table.run("qemu-img", "check", "-q", "-f", format, table.source("image"))
        table.run(
            "qemu-img", "convert", "-f", format, "-O", "raw", table.source("image"), table.target("raw")
        )
        return table.take("raw", work / "raw")


def with_gnu_tar(archive: Path, member: str, work: Path, sdk: Sdk) -> Path:
    """What GNU tar unpacks; Python's own reader must find the same names."""
    gzipped = archive.name.endswith((".gz", ".box"))
    with bench(work / "member", sdk.root, {"archive": archive}) as table:
        words = ["-xz" if gzipped else "-x", "-f", table.source("archive"), "-C", "/run/out", member]
        table.run("tar", "--no-same-owner", *words)
        listed = table.run("tar", "-tz" if gzipped else "-t", "-f", table.source("archive")).stdout.split()
        with tarfile.open(archive) as other:
            assert other.getnames() == listed
        return table.take(member, work / "member")


def with_own_eyes(image: Path, work: Path) -> Path:
    """A dynamic VHD as its specification says it is read (qemu-img wrote it)."""
    data = image.read_bytes()
    footer, header = data[:512], data[512:1536]
    assert footer == data[-512:]
    for part, at in ((footer, 64), (header, 36)):
        counted = sum(part[:at]) + sum(part[at + 4 :])
        assert int.from_bytes(part[at : at + 4], "big") == ~counted & 0xFFFFFFFF
    assert int.from_bytes(footer[24:28], "big") == EPOCH - 946_684_800
    size, entries = int.from_bytes(footer[48:56], "big"), int.from_bytes(header[28:32], "big")
    table, block = int.from_bytes(header[16:24], "big"), int.from_bytes(header[32:36], "big")
    with (work / "raw").open("wb") as raw:
        raw.truncate(size)
        for number in range(entries):
            sector = int.from_bytes(data[table + 4 * number : table + 4 * number + 4], "big")
            if sector != 0xFFFFFFFF:
                start = sector * 512 + block // 512 // 8
                os.pwrite(raw.fileno(), data[start : start + block], number * block)
        raw.truncate(size)
    return work / "raw"


Reader = Callable[[Path, Path, Sdk], Path]


def image(format: str) -> Reader:
    return lambda file, work, sdk: with_qemu(file, format, work, sdk)


def archived(member: str, format: str) -> Reader:
    def read(file: Path, work: Path, sdk: Sdk) -> Path:
        inner = with_gnu_tar(file, member, work, sdk)
        return inner if format == "raw" else with_qemu(inner, format, work, sdk)

    return read


def raw(file: Path, _work: Path, _sdk: Sdk) -> Path:
    return file


READERS: Mapping[str, Mapping[str, Reader]] = {
    "brightbox": {".qcow2": image("qcow2")},
    "ec2": {".vmdk": image("vmdk"), ".raw": raw},
    "eucalyptus": {".raw": raw},
    "gce": {".tar.gz": archived("disk.raw", "raw")},
    "libvirt": {".qcow2": image("qcow2")},
    "openstack": {".qcow2": image("qcow2")},
    "qemu": {".qcow2": image("qcow2")},
    "rackspace": {".vhd": lambda file, work, _: with_own_eyes(file, work)},
    "vagrant": {
        ".libvirt.box": archived("box.img", "qcow2"),
        ".virtualbox.box": archived("box-disk1.vmdk", "vmdk"),
        ".vmware_desktop.box": archived("box.vmdk", "vmdk"),
    },
    "vmware": {".ova": archived("colvert-1-vmware-disk1.vmdk", "vmdk"), ".vmdk": image("vmdk")},
}
CASES = [(name, suffix) for name, readers in READERS.items() for suffix in readers]


def test_every_platform_is_read_back() -> None:
    assert READERS.keys() == PLATFORMS.keys()


def blocks(path: Path, left_out: range) -> Iterator[tuple[int, bytes]]:
    with path.open("rb", buffering=0) as stream:
        for offset, chunk in data_chunks(stream, path.stat().st_size):
            if offset not in left_out:
                yield offset, chunk


@pytest.mark.parametrize(("name", "suffix"), CASES)
def test_the_disk_is_in_it_block_by_block(
    name: str, suffix: str, outputs: Callable[[str], Path], disk: Path, place: Path, sdk: Sdk
) -> None:
    work = place / "read" / name / suffix.lstrip(".")
    work.mkdir(parents=True)
    for path in (work, *work.parents[:2]):
        path.chmod(0o755)
    found = READERS[name][suffix](outputs(name) / f"colvert-1-{name}{suffix}", work, sdk)
    start, size = find_partition(disk, "OEM", sdk_root=sdk.root)
    assert found.stat().st_size == disk.stat().st_size
    assert list(blocks(found, range(start, start + size))) == list(blocks(disk, range(start, start + size)))
    with bench(work / "oem", sdk.root, {}) as table:
        with found.open("rb") as stream:
            stream.seek(start)
            (table.work / "oem").write_bytes(stream.read(size))
        (table.work / "oem").chmod(0o644)
        table.run("e2fsck", "-fn", table.target("oem"))
        text = table.run("debugfs", "-R", "cat /oem-release", table.target("oem")).stdout
        keys = table.run("debugfs", "-R", "cat /ssh/authorized_keys.root", table.target("oem")).stdout
    assert text.startswith(f"ID={name}\n")
    assert keys.count("vagrant insecure public key") == (2 if name == "vagrant" else 0)
    shutil.rmtree(work)


@pytest.mark.parametrize(
    ("name", "suffix", "format"), [("qemu", ".qcow2", "qcow2"), ("vmware", ".vmdk", "vmdk")]
)
def test_a_machine_can_write_to_it(
    name: str, suffix: str, format: str, outputs: Callable[[str], Path], place: Path, sdk: Sdk
) -> None:
    source = outputs(name) / f"colvert-1-{name}{suffix}"
    with bench(place / f"written{suffix}", sdk.root, {"source": source}) as table:
        shutil.copyfile(source, table.work / "image")
        (table.work / "image").chmod(0o666)
        image, overwritten = table.target("image"), "-P 7 1M 3M"
        for area in (overwritten, "-P 8 4000M 1M"):
            table.run("qemu-io", "-f", format, "-c", f"write {area}", image)
        table.run("qemu-img", "check", "-q", "-f", format, image)
        said = table.run("qemu-io", "-f", format, "-c", f"read {overwritten}", image).stdout
        assert "verification failed" not in said


@pytest.mark.parametrize("name", PLATFORMS)
def test_the_same_disk_gives_the_same_bytes(
    name: str, outputs: Callable[[str], Path], disk: Path, place: Path, sdk: Sdk
) -> None:
    other = place / "an other" / name
    other.mkdir(parents=True)
    for path in (other, other.parent):
        path.chmod(0o755)
    copy = other.parent / "copy.raw"
    if not copy.exists():
        subprocess.run(["cp", "--sparse=always", disk, copy], check=True)
        copy.chmod(0o644)
    time.sleep(1.1)  # clocks in formats count whole seconds
    with elsewhere():
        PLATFORMS[name].emit({Need.DISK: copy}, context(sdk), other)
    assert digest_tree(other) == digest_tree(outputs(name))


@pytest.mark.parametrize("name", PLATFORMS)
def test_holes_are_neither_read_nor_written(name: str, outputs: Callable[[str], Path], disk: Path) -> None:
    data = disk.stat().st_blocks * 512
    images = [path for path in outputs(name).iterdir() if not path.name.endswith((".fd", ".json"))]
    for path in images:
        # a VHD allocates 2 MiB for each block that has data
        assert path.stat().st_blocks * 512 < data + (24 if path.suffix == ".vhd" else 4) * MIB, path.name


@pytest.mark.parametrize("name", ["qemu", "gce", "vmware", "rackspace"])
def test_another_size_is_a_disk_whose_table_is_whole(
    name: str, disk: Path, packed: Packed, place: Path, sdk: Sdk
) -> None:
    out = place / "sized" / name
    out.mkdir(parents=True)
    for path in (out, out.parent):
        path.chmod(0o755)
    PLATFORMS[name].emit(given(disk, packed), context(sdk, disk_size=20 << 30), out)
    suffix, reader = next(iter(READERS[name].items()))
    found = reader(out / f"colvert-1-{name}{suffix}", out, sdk)
    assert found.stat().st_size == 20 << 30
    table = read_table(found, sdk_root=sdk.root)
    assert table["lastlba"] == (20 << 30) // 512 - 34
    with bench(out / "check", sdk.root, {"disk": found}) as tools:
        told = tools.run("sfdisk", "--verify", tools.source("disk")).stdout
    assert "No errors detected" in told
    shutil.rmtree(out)


def test_the_ova_is_what_its_manifest_says(outputs: Callable[[str], Path], place: Path, sdk: Sdk) -> None:
    ova = outputs("vmware") / "colvert-1-vmware.ova"
    with tarfile.open(ova) as archive:
        ovf, manifest, disk = archive.getmembers()
        data = {member.name: archive.extractfile(member) for member in (ovf, manifest, disk)}
        content = {name: stream.read() for name, stream in data.items() if stream}
    lines = "".join(
        f"SHA256({name})= {hashlib.sha256(content[name]).hexdigest()}\n" for name in (ovf.name, disk.name)
    )
    assert content[manifest.name].decode() == lines
    tree = xml.etree.ElementTree.parse(io.BytesIO(content[ovf.name]))
    space = "{http://schemas.dmtf.org/ovf/envelope/1}"
    [file] = tree.iter(f"{space}File")
    assert (file.get(f"{space}href"), file.get(f"{space}size")) == (disk.name, str(disk.size))
    [told] = tree.iter(f"{space}Disk")
    assert told.get(f"{space}fileRef") == file.get(f"{space}id")


SCRIPT = """
import json, os, sys
from dataclasses import dataclass
from pathlib import Path
from builder.arch import DEFAULT
from builder.errors import ColvertError
from builder.pipeline.events import Events
from builder.pipeline.executor import Executor
from builder.pipeline.stage import Stage
from builder.pipeline.store import Store
from builder.platforms import PLATFORMS, Context, Need
from builder.sandbox.home import Home
from builder.sandbox.sdk import Sdk
root, disk, sdk = map(Path, sys.argv[1:])
@dataclass(frozen=True)
class Ec2(Stage):
    name = "image"
    label = "ec2"
    modules = ("builder.platforms.ec2",)
    def run(self, work):
        context = Context("colvert", "Colvert", "1", work.sdk.root, 0, architecture=DEFAULT)
        PLATFORMS["ec2"].emit({Need.DISK: disk}, context, work.out)
filler = root / "filler"
with filler.open("wb") as stream:
    free = os.statvfs(root)
    os.posix_fallocate(stream.fileno(), 0, free.f_bavail * free.f_frsize - (12 << 20))
store = Store(root / "store")
executor = Executor(store, Events(), Sdk(sdk, "test"), Home(root).local())
def build():
    try:
        executor.obtain(Ec2())
    except (ColvertError, OSError) as error:
        return getattr(error, "code", f"errno {getattr(error, 'errno', 0)}")
    return "built"
def left():
    return sorted(path.name for path in (root / "store/tmp").iterdir()), len(list(store.entries()))
said = [build(), *left()]
filler.unlink()
print(json.dumps([*said, build(), *left()]))
"""


def test_a_full_disk_leaves_nothing_partial(disk: Path, place: Path, sdk: Sdk) -> None:
    root = place / "small"
    root.mkdir()
    root.chmod(0o755)
    words = [sys.executable, "-c", SCRIPT, str(root), str(disk), str(sdk.root)]
    done = subprocess.run(
        on_tmpfs(root, words), cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True, check=True
    )
    full, tmp, entries, again, tmp_again, entries_again = json.loads(done.stdout.splitlines()[-1])
    assert full in ("errno 28", "build.command-failed", "input.no-space")
    assert (tmp, entries) == ([], 0)
    assert (again, tmp_again, entries_again) == ("built", [], 1)
