"""Disk image, in whatever format, compared with its release."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from uuid import UUID

from builder.arch import PartitionTypes
from builder.errors import Code, ColvertError, Location
from builder.formats.chunk import PlainChunk
from builder.formats.content import Content, OpenFile
from builder.formats.gpt import EMPTY, OEM_LABEL, Type
from builder.formats.sparse import CHUNK, data_chunks
from builder.formats.table import Span, check, partitions
from builder.pipeline.key import digest_bytes, digest_file
from builder.updates import contents
from builder.updates.contents import BOOT, Contents
from builder.updates.dsse import parse
from builder.updates.index import MAX_SIZE, Index, Part, parse_index
from builder.updates.parts import PARTS, SIGNATURE
from builder.verify.esp import BootPart
from builder.verify.imagefile import BLOCK, unpack
from builder.verify.release import Report, Verifier, read_regular

ROOT = "ROOT"
# what a slot's partitions are called between the id and the version
SLOT = ("usr", "usr-verity", "usr-verity-sig")
# the first sector up to its partitions: a program that firmware without UEFI starts
BOOT_CODE = 440


def verify_image(image: Path, verifier: Verifier, sdk_root: Path) -> Report:
    """Check that the image's /usr, boot files and signature are those of the release."""
    index, report = verifier.index(), verifier.report
    whole = _whole(image, index)
    report.ok(f"{image}: {whole or 'not a file of the release; its content is checked'}")
    work = Path(mkdtemp(prefix="colvert-verify-", dir="/var/tmp"))
    work.chmod(0o755)
    try:
        found = _update_index(verifier, index)
        unpacked = unpack(image, work, sdk_root)
        report.ok(f"format: {unpacked.format}")
        disk = _Disk(unpacked.raw, index, verifier.place)
        for name in found.parts:
            kind = PARTS[name].partition
            # the signature is compared with the release's file, and may be missing
            if kind and name != SIGNATURE:
                report.run(disk.label(kind), partial(disk.partition, disk.label(kind), found.parts[name]))
        report.run("partitions", disk.others)
        report.run("signature partition", disk.signature)
        report.run("other slot", disk.empty)
        report.run("ESP", partial(disk.boot, work, sdk_root))
        if not whole:
            report.ok(f"note: not checked: {', '.join(disk.unseen(unpacked.others))}")
    except ColvertError as error:
        report.errors.append(_invalid(error, str(image)))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    report.errors[:] = [_invalid(error) for error in report.errors]
    return report


def _invalid(error: ColvertError, where: str = "") -> ColvertError:
    """What is wrong with somebody's file is no failure of a build."""
    place = error.where or (Location(where) if where else None)
    code = Code.RELEASE_INVALID if error.code is Code.IMAGE_INVALID else error.code
    return ColvertError(code, error.what, where=place, hint=error.hint, detail=error.detail)


def _whole(image: Path, index: Contents) -> str:
    """The file itself may be one of the release's; another format of the same disk is not."""
    size = image.stat().st_size
    alike = [one for one in index.files if one.size == size]
    digest = digest_file(image) if alike else ""
    names = [one.path for one in alike if one.sha256 == digest]
    return f"identical to {names[0]} of the release" if names else ""


def _update_index(verifier: Verifier, index: Contents) -> Index:
    path = verifier.place / "update/index.json"
    rows = {one.path: one.sha256 for one in index.envelopes}
    try:
        payload = parse(read_regular(path, MAX_SIZE)).content()
    except ColvertError as error:
        raise error.but(where=Location(str(path))) from error
    if rows.get("update/index.json") != digest_bytes(payload):
        what = "not the update index of the release"
        raise ColvertError(Code.RELEASE_INVALID, what, where=Location(str(path)))
    return parse_index(payload, path)


class _Disk:
    """A disk as plain bytes, held against a release."""

    def __init__(self, raw: Path, index: Contents, place: Path) -> None:
        self.raw, self.index, self.place = raw, index, place
        self.content = _opened(raw)
        check(self.content)
        self.spans = partitions(self.content)

    def label(self, kind: str) -> str:
        return f"{self.index.image_id}-{kind}_{self.index.version}"

    def span(self, label: str) -> Span:
        found = [span for span in self.spans if span.label == label]
        if len(found) == 1:
            return found[0]
        slots = sorted({span.label for span in self.spans if _kind(span.label, self.index.image_id)})
        detail = [f"the disk has {', '.join(map(ascii, slots))}"] if slots and not found else []
        raise _bad(f"{len(found)} partitions with the label {label}, not 1", *detail)

    def partition(self, label: str, part: Part) -> str:
        span = self.span(label)
        if part.size > span.size:
            raise _bad("the partition is too small for the release's content")
        if _digest(_bytes(self.raw, span.start, part.size)) != part.sha256:
            raise _bad("the content differs from the release")
        end = span.start + part.size
        # the chunk in which the content ends, and chunks with data after it
        rest = b"".join(_bytes(self.raw, end, min(-end % CHUNK, span.start + span.size - end)))
        if rest.strip(b"\0") or self._data(end + len(rest), span.start + span.size):
            raise _bad("there is data after the release's content")
        return "same as the release"

    def _data(self, start: int, end: int) -> bool:
        return any(start <= at < end for at in self.content.chunks)

    def others(self) -> str:
        """No partition but those of a Colvert disk, each of its type, and no program for a BIOS."""
        for span in self.spans:
            kind = _kind(span.label, self.index.image_id)
            types = _types(self.index.row.partitions, kind, span.label)
            if not types:
                raise _bad(f"unknown partition {span.label!a}")
            if span.type not in types:
                what = f"{span.label} has the type {span.type}: it is another partition, or not for"
                raise _bad(f"{what} {self.index.architecture}")
        bios = self.span("BIOS-BOOT")
        if self._data(bios.start, bios.start + bios.size) or any(*_bytes(self.raw, 0, BOOT_CODE)):
            raise _bad("BIOS boot code found, and a release has none")
        return f"{len(self.spans)}, only those of a release"

    def signature(self) -> str:
        span = self.span(self.label("usr-verity-sig"))
        found = b"".join(_bytes(self.raw, span.start, span.size)).rstrip(b"\0")
        path = f"{BOOT}/{contents.VERITY_SIGNATURE}"
        wanted = {one.path: one for one in self.index.files}.get(path)
        if wanted is None:
            if found:
                raise _bad("the image has a signature, and the release has none")
            return "empty, as in the release"
        data = read_regular(self.place / path, wanted.size)
        if digest_bytes(data) != wanted.sha256 or found != data.rstrip(b"\0"):
            raise _bad("the content differs from the release")
        return "same as the release"

    def empty(self) -> str:
        """A new image has its other slot empty; a machine's disk that took an update has not."""
        count = sum(span.label == EMPTY for span in self.spans)
        return "empty" if count == 3 else "not empty: an update was installed on this disk"

    def boot(self, work: Path, sdk_root: Path) -> str:
        """Every file of the ESP is one that the release's ESP has."""
        span, esp = self.span("ESP"), work / "esp.raw"
        with esp.open("wb") as out:
            for block in _bytes(self.raw, span.start, span.size):
                out.write(block)
        esp.chmod(0o644)
        return BootPart(esp, self.index, self.place, work).check(sdk_root)

    def unseen(self, others: tuple[str, ...]) -> list[str]:
        """Parts that are not checked: what platforms and machines differ in, and other archive members."""
        labels = [one for one in (OEM_LABEL, ROOT) if any(span.label == one for span in self.spans)]
        return [*labels, "keys to enroll", *map(ascii, others)]


def _types(of: PartitionTypes, kind: str, label: str) -> tuple[UUID, ...]:
    """The types that a partition may have: one of a slot (`kind` says which), or another with this label."""
    slot = dict(zip(SLOT, (of.usr, of.usr_verity, of.usr_verity_sig), strict=True))
    if kind:
        return (slot[kind],)
    others = {
        "ESP": (Type.ESP,),
        "BIOS-BOOT": (Type.BIOS,),
        EMPTY: tuple(slot.values()),
        OEM_LABEL: (Type.LINUX,),
        # systemd-repart makes it at the first boot
        ROOT: (of.root,),
    }
    return others.get(label, ())


def _kind(label: str, image_id: str) -> str:
    """Which of a slot's partitions has this label, of whatever version."""
    for kind in SLOT:
        if label.startswith(f"{image_id}-{kind}_"):
            return kind
    return ""


def _opened(raw: Path) -> Content:
    file, size = OpenFile(raw), raw.stat().st_size
    with raw.open("rb", buffering=0) as stream:
        return Content(size, {at: PlainChunk(file.fd, at) for at, _ in data_chunks(stream, size)}, (file,))


def _bytes(raw: Path, start: int, size: int) -> Iterator[bytes]:
    end = start + size
    with raw.open("rb") as stream:
        while start < end:
            block = os.pread(stream.fileno(), min(BLOCK, end - start), start)
            if not block:
                raise _bad("the disk ends within a partition")
            yield block
            start += len(block)


def _digest(blocks: Iterator[bytes]) -> str:
    found = hashlib.sha256()
    for block in blocks:
        found.update(block)
    return found.hexdigest()


def _bad(what: str, *detail: str) -> ColvertError:
    return ColvertError(Code.RELEASE_INVALID, what, detail=detail)
