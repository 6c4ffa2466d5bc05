"""Disk inside an image file, which may be an archive, compressed, or hostile."""

from __future__ import annotations

import json
import re
import stat
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from gzip import BadGzipFile
from pathlib import Path, PurePosixPath
from typing import IO

from builder.errors import Code, ColvertError
from builder.pipeline.key import digest_file
from builder.tools.workspace import bench

# how a name ends -> what qemu-img calls the format; whoever goes by the name reads the same
FORMATS = {
    ".raw": "raw", ".img": "raw", ".qcow2": "qcow2", ".vmdk": "vmdk",
    ".vhd": "vpc", ".vhdx": "vhdx", ".vdi": "vdi",
}  # fmt: skip
ARCHIVES = (".ova", ".box", ".tar", ".tar.gz", ".tgz")
# the disk of a box for vagrant-libvirt, as which it takes only qcow2
BOX_DISK = ".box:box.img"
# what Vagrant's boxes, OVAs and Google's archives hold
DISKS = (".img", ".vmdk", ".raw", ".qcow2", ".vhd")
GZIP = b"\x1f\x8b"
BLOCK = 1 << 20
MAX_TEXT = 1 << 20
# a line of an OVF's manifest (DSP0243, 6.3)
DIGEST = re.compile(r"SHA256\(([^)]+)\)= *([0-9a-f]{64})")


@dataclass(frozen=True)
class Unpacked:
    """A disk as plain bytes, and what else was in the file around it."""

    raw: Path
    format: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inside:
    """The file with the disk, what it is called (ARCHIVE:MEMBER in one), and what else was there."""

    path: Path
    name: str
    others: tuple[str, ...] = ()


def unpack(image: Path, work: Path, sdk_root: Path) -> Unpacked:
    """The disk of an image file; what refers to other files, or holds no one disk, is refused."""
    disk = inside(image, work)
    with bench(work / "disk.raw", sdk_root, {"image": disk.path}) as table:
        source = table.source("image")
        try:
            told = json.loads(table.run("qemu-img", "info", "--output=json", source).stdout)
            _alone(told, source)
            check_format(disk.name, told["format"])
            if told["format"] == "raw":
                return Unpacked(disk.path, told["format"], disk.others)
            table.run("qemu-img", "convert", "-f", told["format"], "-O", "raw", source, table.target("disk"))
        except ColvertError as error:
            if error.code is not Code.COMMAND_FAILED:
                raise
            what = "the image cannot be read: it is damaged, truncated, or refers to other files"
            raise _bad(what, *error.detail) from error
        return Unpacked(table.take("disk", work / "disk.raw"), told["format"], disk.others)


def check_format(name: str, found: str) -> None:
    """Check that the format matches the name: programs may detect either."""
    wanted = "qcow2" if name.lower().endswith(BOX_DISK) else FORMATS[_suffix(name, FORMATS)]
    if found != wanted:
        raise _bad(f"{name[-80:]!a} has the format {found}, not {wanted}")


def _suffix(name: str, known: Iterable[str]) -> str:
    return next((one for one in known if name.lower().endswith(one)), "")


def _alone(told: dict[str, object], source: str) -> None:
    """All of the disk has to be in the file itself."""
    special = told.get("format-specific")
    data = special.get("data", {}) if isinstance(special, dict) else {}
    extents = [one.get("filename") for one in data.get("extents", ())]
    if told.get("backing-filename") or data.get("data-file") or any(name != source for name in extents):
        raise _bad("the image refers to other files")


def inside(image: Path, work: Path) -> Inside:
    """The disk of an archive; all of the image where it is none, and is not called one either."""
    called = bool(_suffix(image.name, ARCHIVES))
    if not called and not _suffix(image.name, FORMATS):
        hint = f"use one of {', '.join((*FORMATS, *ARCHIVES))}"
        what = f"unknown image format: suffix of {image.name[-80:]!a}"
        raise ColvertError(Code.RELEASE_INVALID, what, hint=hint)
    with image.open("rb") as stream:
        packed = stream.read(len(GZIP)) == GZIP
    if called != (packed or tarfile.is_tarfile(image)):
        raise _bad(f"{image.name[-80:]!a} is {'not an' if called else 'an'} archive, unlike its suffix")
    if not called:
        return Inside(_reachable(image, work / "inside"), image.name)
    with _sound(), tarfile.open(image, "r:gz" if packed else "r:") as archive:
        path, name, others = _disk_of(archive, work / "inside")
        return Inside(path, f"{image.name}:{name}", others)


def _reachable(image: Path, name: Path) -> Path:
    """The image under a name that the tools can open, who are somebody else: its directory may be closed."""
    if image.stat().st_mode & stat.S_IROTH:
        with suppress(OSError):
            name.hardlink_to(image.resolve())
            return name
    with image.open("rb") as stream:
        _copy(stream, name)
    return name


@contextmanager
def _sound() -> Iterator[None]:
    """What Python's own readers say of damage, in one way."""
    try:
        yield
    except (tarfile.TarError, BadGzipFile, EOFError, zlib.error, ValueError, OverflowError) as error:
        raise _bad("the archive is damaged or truncated", str(error)) from error


def _disk_of(archive: tarfile.TarFile, out: Path) -> tuple[Path, str, tuple[str, ...]]:
    members = archive.getmembers()
    _ended(archive)
    _plain(members)
    disks = [one for one in members if one.isfile() and one.name.lower().endswith(DISKS)]
    if len(disks) != 1:
        names = ", ".join(ascii(one.name)[:80] for one in disks)
        raise _bad(f"the archive contains {len(disks)} disks, not 1{f': {names}' if names else ''}")
    [disk] = disks
    _copy(_stream(archive, disk), out)
    for one in members:
        if one.name.endswith(".mf"):
            _manifest(_stream(archive, one).read(MAX_TEXT), disk.name, digest_file(out))
    return out, PurePosixPath(disk.name).name, tuple(one.name for one in members if one is not disk)


def _ended(archive: tarfile.TarFile) -> None:
    """Others go on where this reader takes a block that is no header for the end."""
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    rest = archive.fileobj.read(BLOCK + 1)
    if len(rest) > BLOCK or rest.strip(b"\0"):
        raise _bad("the archive has data after its last member")


def _plain(members: list[tarfile.TarInfo]) -> None:
    """Who unpacks it must get these files and no others."""
    seen = set()
    for one in members:
        path = PurePosixPath(one.name)
        if not (one.isfile() or one.isdir()) or path.is_absolute() or ".." in path.parts:
            raise _bad(f"the archive's member {ascii(one.name)[:80]} is a link, or outside the archive")
        if path in seen:
            raise _bad(f"duplicate archive member {ascii(one.name)[:80]}")
        seen.add(path)


def _stream(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(member)
    assert stream is not None
    return stream


def _copy(stream: IO[bytes], out: Path) -> None:
    """Copy, zeros as holes."""
    size = 0
    with out.open("wb") as copy:
        while block := stream.read(BLOCK):
            if block.strip(b"\0"):
                copy.seek(size)
                copy.write(block)
            size += len(block)
        copy.truncate(size)
    out.chmod(0o644)


def _manifest(text: bytes, name: str, digest: str) -> None:
    """An OVF's manifest has the disk's digest."""
    rows = dict(DIGEST.findall(text.decode("utf-8", "replace")))
    if rows.get(name) != digest:
        raise _bad("the digest of the disk in the archive's manifest is wrong or missing")


def _bad(what: str, *detail: str) -> ColvertError:
    return ColvertError(Code.RELEASE_INVALID, what, detail=detail)
