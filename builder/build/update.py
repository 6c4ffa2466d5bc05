"""Update: usr image, hash tree and UKI -> the files that a running machine becomes this version with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from builder.build.disk import Disks
from builder.build.session import Session
from builder.build.trusted_keys import ring, signer
from builder.errors import Code, ColvertError, Location
from builder.pipeline.events import Event, Kind
from builder.pipeline.key import digest_bytes, digest_file, digest_value
from builder.pipeline.stage import Work
from builder.pipeline.store import Entry
from builder.tools.zstd import compress, expand, make_delta
from builder.updates.contents import VERITY_SIGNATURE
from builder.updates.delta import SIGNED, UNSIGNED, Earlier, Target, find_earlier
from builder.updates.dsse import sign
from builder.updates.index import PAYLOAD_TYPE, SIGNATURE, File, Index, Origin, Part, Parts, file_name
from builder.updates.order import newer

DAY = 86400


def check_update(session: Session, deltas_from: Sequence[Path]) -> tuple[Earlier, ...]:
    """Check what can be wrong before anything is built; returns the releases from which deltas start."""
    loaded = session.loaded
    update, target = loaded.manifest.update, _target(session)
    ring(session)
    if update.from_at_least and newer(update.from_at_least, loaded.version):
        raise ColvertError(
            Code.MANIFEST_INVALID,
            f"no machine can have {update.from_at_least} and go to {loaded.version}, which is older",
            where=loaded.origin(("update", "from_at_least")),
        )
    earlier = tuple(find_earlier(deltas_from, target, update.deltas))
    if deltas_from:
        versions = ", ".join(one.index.version for one in earlier)
        text = f"deltas from {versions}" if versions else "no deltas: there is no older release"
        session.events.emit(Event(kind=Kind.MESSAGE, text=text))
    return earlier


def _target(session: Session) -> Target:
    manifest = session.loaded.manifest
    return Target(manifest.id, manifest.architecture, session.loaded.version)


@dataclass
class Updates(Disks):
    """The update files of this version, each kind made when it is first asked for."""

    earlier: tuple[Earlier, ...] = ()

    @cached_property
    def _parts(self) -> dict[str, Path]:
        found = {
            "usr": self.usr.out / "usr.raw",
            "verity": self.usr.out / "usr.verity",
            "uki": self.boot.out / self.uki_name,
        }
        signature = self.boot.out / VERITY_SIGNATURE
        return {**found, SIGNATURE: signature} if signature.is_file() else found

    @cached_property
    def whole(self) -> Entry:
        """out/PART.zst: each part by itself."""

        def run(work: Work) -> None:
            for name, path in self._parts.items():
                compress(path, work.out / f"{name}.zst", sdk_root=self.session.sdk.root)

        inputs = {"usr": self.usr.digest, "boot": self.boot.digest}
        return self.stage("whole", inputs, (self.usr, self.boot), run)

    def delta(self, earlier: Earlier) -> Entry:
        """out/PART.zst: each part as it comes of an earlier release's."""

        def run(work: Work) -> None:
            # the two large ones at once
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda name: self._make_delta(earlier, name, work), ("usr", "uki", "verity")))

        old = {name: part.sha256 for name, part in earlier.index.parts.items()}
        inputs = {"usr": self.usr.digest, "boot": self.boot.digest, "old": digest_value(old)}
        return self.stage(f"delta:{earlier.index.version}", inputs, (self.usr, self.boot), run)

    def _make_delta(self, earlier: Earlier, name: str, work: Work) -> None:
        part, root = getattr(earlier.index.parts, name), self.session.sdk.root
        # where a user keeps releases may be closed to the id that sandboxed programs run as
        frame = work.scratch / f"{name}.zst"
        shutil.copyfile(earlier.place / part.whole.name, frame)
        frame.chmod(0o644)
        old = expand(frame, work.scratch / name, sdk_root=root)
        frame.unlink()
        if old.stat().st_size != part.size or digest_file(old) != part.sha256:
            raise ColvertError(
                Code.RELEASE_INVALID,
                f"{name} of {earlier.index.version} is not what its index says",
                where=Location(str(earlier.place / part.whole.name)),
                hint="leave that release out of --deltas-from",
            )
        work.phase(name)
        make_delta(old, self._parts[name], work.out / f"{name}.zst", sdk_root=root)
        old.unlink()

    @cached_property
    def update(self) -> Entry:
        """out: what is served: index.json, VERSION.json and the files by their digests."""
        made = [(None, self.whole), *((one, self.delta(one)) for one in self.earlier)]
        manifest, key = self.session.loaded.manifest, signer(self.session)
        inputs = {
            "made": digest_value(
                [[one.index.payload().decode() if one else "", e.digest] for one, e in made]
            ),
            "manifest": manifest.part_json(
                "id", "architecture", "update.channel", "update.expires_after", "update.from_at_least"
            ),
            "epoch": str(self.session.loaded.epoch),
            "roothash": self.root_hash,
            "key": key.id if key else "",
            "release": self.code_of("release"),
        }
        uses = (self.usr, self.boot, *(entry for _, entry in made))
        return self.stage("update", inputs, uses, lambda work: self._make_update(work, made))

    def _make_update(self, work: Work, made: Sequence[tuple[Earlier | None, Entry]]) -> None:
        parts: dict[str, Part] = {}
        for name in self._parts:
            files: list[File] = []
            # a signature is smaller than a delta
            for earlier, entry in made if name != SIGNATURE else made[:1]:
                file = _file(entry.out / f"{name}.zst", earlier, name)
                # a delta that is no smaller helps nobody
                if not files or file.size < files[0].size:
                    _link(entry.out / f"{name}.zst", work.out / file.name)
                    files.append(file)
            path = self._parts[name]
            parts[name] = Part(size=path.stat().st_size, sha256=digest_file(path), files=files)
        payload = self._index(Parts(**parts)).payload()
        key = signer(self.session)
        if key is None:
            (work.out / UNSIGNED).write_bytes(payload)
            return
        envelope = sign(PAYLOAD_TYPE, payload, [key]).to_bytes()
        for index in (SIGNED, f"{self.session.loaded.version}.json"):
            (work.out / index).write_bytes(envelope)

    def _index(self, parts: Parts) -> Index:
        loaded = self.session.loaded
        manifest = loaded.manifest
        return Index(
            image_id=manifest.id,
            architecture=manifest.architecture,
            channel=manifest.update.channel,
            version=loaded.version,
            from_at_least=manifest.update.from_at_least or "0",
            created=loaded.epoch,
            expires=loaded.epoch + manifest.update.expires_after * DAY,
            root_hash=self.root_hash,
            parts=parts,
        )


def _file(path: Path, earlier: Earlier | None, name: str) -> File:
    data = path.read_bytes()
    sha256 = digest_bytes(data)
    origin = None
    if earlier is not None:
        index = earlier.index
        old: Part = getattr(index.parts, name)
        origin = Origin(version=index.version, root_hash=index.root_hash, size=old.size, sha256=old.sha256)
    return File.model_validate(
        {"name": file_name(sha256), "size": len(data), "sha256": sha256, "from": origin}
    )


def _link(source: Path, target: Path) -> None:
    """A second name; two deltas with one content are one file."""
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
