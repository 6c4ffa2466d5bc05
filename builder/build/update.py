"""Stages `whole`, `delta` and `update`: the files from which a machine updates to this version."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from builder.build.usr import USR, VERITY
from builder.errors import Code, ColvertError
from builder.pipeline.artifact import Artifact
from builder.pipeline.key import digest_bytes, digest_file
from builder.pipeline.stage import Stage, Work
from builder.tools.zstd import compress, expand, make_delta
from builder.updates.contents import VERITY_SIGNATURE, uki_name
from builder.updates.delta import UNSIGNED
from builder.updates.expiry import expiry
from builder.updates.index import File, Index, Origin, Part, file_name
from builder.updates.parts import PARTS, SIGNATURE


@dataclass(frozen=True)
class Slot:
    """Content of a slot of this version: its artifacts, and its parts by name."""

    usr: Artifact
    boot: Artifact
    id: str
    version: str

    def parts(self, work: Work) -> dict[str, Path]:
        """The parts that a machine writes, in the order of the index."""
        usr, boot = work.path(self.usr), work.path(self.boot)
        found = {"usr": usr / USR, "verity": usr / VERITY, "uki": boot / uki_name(self.id, self.version)}
        signature = boot / VERITY_SIGNATURE
        return {**found, SIGNATURE: signature} if signature.is_file() else found


@dataclass(frozen=True)
class Whole(Stage):
    """out/PART.zst: each part by itself."""

    name: ClassVar[str] = "whole"

    slot: Slot

    @property
    def label(self) -> str:
        return f"{self.slot.id} {self.slot.version}"

    def run(self, work: Work) -> None:
        for name, path in self.slot.parts(work).items():
            compress(path, work.out / f"{name}.zst", sdk_root=work.sdk.root)


@dataclass(frozen=True)
class Old:
    """An earlier release from which a delta starts: its whole files (PART.zst), and what they expand to."""

    version: str
    root_hash: str
    files: Artifact
    # part -> (size in bytes, SHA-256)
    parts: Mapping[str, tuple[int, str]]


@dataclass(frozen=True)
class Delta(Stage):
    """out/PART.zst: each part as it comes of an earlier release's."""

    name: ClassVar[str] = "delta"

    slot: Slot
    old: Old

    @property
    def label(self) -> str:
        return f"{self.slot.id} {self.slot.version} from {self.old.version}"

    def run(self, work: Work) -> None:
        parts = {name: path for name, path in self.slot.parts(work).items() if PARTS[name].delta}
        # the two large ones at once
        largest = sorted(parts, key=lambda name: parts[name].stat().st_size, reverse=True)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda name: self._make(name, parts[name], work), largest))

    def _make(self, name: str, new: Path, work: Work) -> None:
        # the id that sandboxed programs run as reads a copy
        frame = work.scratch / f"{name}.zst"
        shutil.copyfile(work.path(self.old.files) / f"{name}.zst", frame)
        frame.chmod(0o644)
        old = expand(frame, work.scratch / name, sdk_root=work.sdk.root)
        frame.unlink()
        if (old.stat().st_size, digest_file(old)) != self.old.parts[name]:
            raise ColvertError(
                Code.RELEASE_INVALID,
                f"{name} of {self.old.version} does not match its index",
                hint="remove that release from --deltas-from",
            )
        work.phase(name)
        make_delta(old, new, work.out / f"{name}.zst", sdk_root=work.sdk.root)
        old.unlink()


@dataclass(frozen=True)
class Announcement:
    """Fields of an update index, without its files."""

    architecture: str
    channel: str
    expires_after: int
    """Days from the epoch until the index expires."""
    from_at_least: str
    epoch: int


@dataclass(frozen=True)
class Update(Stage):
    """The update files by digest, and the payload of the index, which is signed later."""

    name: ClassVar[str] = "update"

    slot: Slot
    root_hash: str
    whole: Artifact
    deltas: tuple[tuple[Old, Artifact], ...]
    announcement: Announcement

    @property
    def label(self) -> str:
        return f"{self.slot.id} {self.slot.version}"

    def run(self, work: Work) -> None:
        parts = {name: self._part(name, path, work) for name, path in self.slot.parts(work).items()}
        (work.out / UNSIGNED).write_bytes(self._index(parts).payload())

    def _part(self, name: str, path: Path, work: Work) -> Part:
        files: list[File] = []
        for old, made in self._made(name, work):
            file = _file(made, old, name)
            # a delta that is no smaller helps nobody
            if not files or file.size < files[0].size:
                if not (work.out / file.name).exists():
                    shutil.copyfile(made, work.out / file.name)
                files.append(file)
        return Part(size=path.stat().st_size, sha256=digest_file(path), files=files)

    def _made(self, name: str, work: Work) -> Iterator[tuple[Old | None, Path]]:
        yield None, work.path(self.whole) / f"{name}.zst"
        for old, artifact in self.deltas if PARTS[name].delta else ():
            yield old, work.path(artifact) / f"{name}.zst"

    def _index(self, parts: Mapping[str, Part]) -> Index:
        told = self.announcement
        return Index(
            image_id=self.slot.id,
            architecture=told.architecture,
            channel=told.channel,
            version=self.slot.version,
            from_at_least=told.from_at_least,
            created=told.epoch,
            expires=expiry(told.epoch, told.expires_after),
            root_hash=self.root_hash,
            parts=parts,
        )


def _file(path: Path, old: Old | None, name: str) -> File:
    data = path.read_bytes()
    sha256 = digest_bytes(data)
    origin = None
    if old is not None:
        size, digest = old.parts[name]
        origin = Origin(version=old.version, root_hash=old.root_hash, size=size, sha256=digest)
    return File.model_validate(
        {"name": file_name(sha256), "size": len(data), "sha256": sha256, "from": origin}
    )
