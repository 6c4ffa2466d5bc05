"""Release: whether a disk image, in whatever format, is the one of a release."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

from builder.errors import Code, ColvertError, Location
from builder.formats.chunk import PlainChunk
from builder.formats.content import Content, OpenFile
from builder.formats.gpt import EMPTY
from builder.formats.sparse import CHUNK, data_chunks
from builder.formats.table import Span, partitions
from builder.formats.tools import bench
from builder.pipeline.key import digest_bytes, digest_file
from builder.release import contents
from builder.release.contents import BOOT, LOADER, Contents
from builder.release.dsse import parse
from builder.release.index import Index, Part, parse_index
from builder.release.verify import Report, Verifier

# what Vagrant's boxes, OVAs and Google's archives hold
DISKS = (".img", ".vmdk", ".raw", ".qcow2", ".vhd")
BLOCK = 1 << 20


def verify_image(image: Path, verifier: Verifier, sdk_root: Path) -> Report:
    """Check that the image's /usr, boot files and signature are those of the release."""
    index, report = verifier.index(), verifier.report
    report.run(str(image), partial(_whole, image, index))
    work = Path(mkdtemp(prefix="colvert-verify-", dir="/var/tmp"))
    work.chmod(0o755)
    try:
        raw = _raw(image, work, sdk_root)
        found = _update_index(verifier, index)
        disk = _opened(raw)
        spans = partitions(disk)
        names = {"usr": f"{index.image_id}-usr_{index.version}",
                 "verity": f"{index.image_id}-usr-verity_{index.version}"}  # fmt: skip
        for name, label in names.items():
            report.run(label, partial(_partition, raw, disk, spans, label, getattr(found.parts, name)))
        report.run("signature partition", partial(_signature, raw, spans, index, verifier.place))
        report.run("other slot", partial(_empty, spans))
        report.run("ESP", partial(_boot, raw, spans, index, work, sdk_root))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report


def _whole(image: Path, index: Contents) -> str:
    """The file itself may be one of the release's; another format of the same disk is not."""
    digest = digest_file(image)
    names = [one.path for one in index.files if one.sha256 == digest]
    return f"the release's {names[0]}" if names else "no file of the release; its content is looked at"


def _update_index(verifier: Verifier, index: Contents) -> Index:
    path = verifier.place / "update/index.json"
    rows = {one.path: one.sha256 for one in index.envelopes}
    payload = parse(path.read_bytes()).content()
    if rows.get("update/index.json") != digest_bytes(payload):
        what = "this is not the update index of the release"
        raise ColvertError(Code.RELEASE_INVALID, what, where=Location(str(path)))
    return parse_index(payload, path)


def _raw(image: Path, work: Path, sdk_root: Path) -> Path:
    """The disk as plain bytes."""
    disk = _unpacked(image, work)
    with bench(work / "disk.raw", sdk_root, {"image": disk}) as table:
        told = json.loads(table.run("qemu-img", "info", "--output=json", table.source("image")).stdout)
        if told.get("backing-filename") or "data-file" in json.dumps(told.get("format-specific", {})):
            raise ColvertError(Code.RELEASE_INVALID, "the image refers to other files")
        words = ("-f", told["format"], "-O", "raw", table.source("image"), table.target("disk"))
        table.run("qemu-img", "convert", *words)
        return table.take("disk", work / "disk.raw")


def _unpacked(image: Path, work: Path) -> Path:
    """The disk inside an archive; the image itself where it is none."""
    if not tarfile.is_tarfile(image):
        return image
    with tarfile.open(image) as archive:
        members = [one for one in archive if one.isfile() and one.name.endswith(DISKS)]
        if len(members) != 1:
            raise ColvertError(Code.RELEASE_INVALID, "the archive does not hold one disk")
        out = work / "inside"
        stream = archive.extractfile(members[0])
        assert stream is not None
        with out.open("wb") as copy:
            shutil.copyfileobj(stream, copy, BLOCK)
    out.chmod(0o644)
    return out


def _opened(raw: Path) -> Content:
    file, size = OpenFile(raw), raw.stat().st_size
    with raw.open("rb", buffering=0) as stream:
        return Content(size, {at: PlainChunk(file.fd, at) for at, _ in data_chunks(stream, size)}, (file,))


def _span(spans: list[Span], label: str) -> Span:
    found = [span for span in spans if span.label == label]
    if len(found) != 1:
        raise ColvertError(Code.RELEASE_INVALID, f"{len(found)} partitions are called {label}")
    return found[0]


def _partition(raw: Path, disk: Content, spans: list[Span], label: str, part: Part) -> str:
    span = _span(spans, label)
    if _digest(_bytes(raw, span.start, part.size)) != part.sha256:
        raise ColvertError(Code.RELEASE_INVALID, "its content is not the release's")
    end = span.start + part.size
    # the chunk in which the content ends, and chunks with data after it
    rest = b"".join(_bytes(raw, end, -end % CHUNK))
    if rest.strip(b"\0") or any(end + len(rest) <= at < span.start + span.size for at in disk.chunks):
        raise ColvertError(Code.RELEASE_INVALID, "there is something behind the release's content")
    return "the release's"


def _signature(raw: Path, spans: list[Span], index: Contents, place: Path) -> str:
    span = _span(spans, f"{index.image_id}-usr-verity-sig_{index.version}")
    found = b"".join(_bytes(raw, span.start, span.size)).rstrip(b"\0")
    path = f"{BOOT}/{contents.VERITY_SIGNATURE}"
    if all(one.path != path for one in index.files):
        if found:
            raise ColvertError(Code.RELEASE_INVALID, "the release has no signature, the image has one")
        return "empty, as the release's"
    wanted = {one.path: one.sha256 for one in index.files}[path]
    data = (place / path).read_bytes()
    if digest_bytes(data) != wanted or found != data.rstrip(b"\0"):
        raise ColvertError(Code.RELEASE_INVALID, "its content is not the release's")
    return "the release's"


def _empty(spans: list[Span]) -> str:
    """A new image has its other slot empty; a machine's disk that took an update has not."""
    count = sum(span.label == EMPTY for span in spans)
    return "empty" if count == 3 else "not empty: this disk took an update"


def _boot(raw: Path, spans: list[Span], index: Contents, work: Path, sdk_root: Path) -> str:
    """Every program of the ESP is the release's."""
    span = _span(spans, "ESP")
    esp = work / "esp.raw"
    with raw.open("rb") as disk, esp.open("wb") as out:
        disk.seek(span.start)
        for block in _read(disk.fileno(), span.start, span.size):
            out.write(block)
    esp.chmod(0o644)
    names = {one.path: one.sha256 for one in index.files}
    wanted = {names[index.uki], names[f"{BOOT}/{LOADER}"]}
    with bench(work / "files", sdk_root, {"esp": esp}) as table:
        listing = table.run("mdir", "-/", "-b", "-i", table.source("esp"), "::").stdout
        programs = [line.strip() for line in listing.splitlines() if line.strip().lower().endswith(".efi")]
        seen = set()
        for number, program in enumerate(programs):
            table.run("mcopy", "-i", table.source("esp"), program, table.target(str(number)))
            digest = digest_file(table.work / str(number))
            if digest not in wanted:
                raise ColvertError(Code.RELEASE_INVALID, f"{program} is not the release's")
            seen.add(digest)
    if seen != wanted:
        raise ColvertError(Code.RELEASE_INVALID, "the UKI or the loader is missing")
    return f"{len(programs)} programs, the release's UKI and loader"


def _bytes(raw: Path, start: int, size: int) -> Iterator[bytes]:
    with raw.open("rb") as stream:
        yield from _read(stream.fileno(), start, size)


def _read(fd: int, start: int, size: int) -> Iterator[bytes]:
    end = start + size
    while start < end:
        block = os.pread(fd, min(BLOCK, end - start), start)
        if not block:
            raise ColvertError(Code.RELEASE_INVALID, "the disk ends within a partition")
        yield block
        start += len(block)


def _digest(blocks: Iterator[bytes]) -> str:
    found = hashlib.sha256()
    for block in blocks:
        found.update(block)
    return found.hexdigest()
