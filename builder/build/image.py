"""Image: disk -> platform images, side by side; the end of the way from a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from builder.build.inventory import Inventories
from builder.build.licences import check_licences
from builder.build.outputs import deliver, deliver_file
from builder.build.provenance import provenance
from builder.build.sbom import Sboms
from builder.build.session import Session
from builder.build.signing import begin_signing
from builder.build.targets import check_settings, choose
from builder.build.update import check_update
from builder.describe.inventory import FILE as INVENTORY
from builder.formats.content import Packed
from builder.pipeline.lock import held
from builder.pipeline.stage import Stage, Work
from builder.pipeline.store import Entry
from builder.platforms import Context, Platform
from builder.signing.attach import LOCK
from builder.tools.pack import pack
from builder.updates.contents import BOOT, UNSIGNED
from builder.updates.dsse import parse


def build_images(
    session: Session, targets: Sequence[str], out: Path, deltas_from: Sequence[Path] = ()
) -> Path:
    """Build everything for the targets, and the update files; returns `out`/VERSION."""
    platforms = choose(targets)
    check_settings(session.loaded)
    earlier = check_update(session, deltas_from)
    check_licences(session)
    image = Image(session, session.build_packages(), earlier)
    place = out / session.loaded.version
    with held(place / LOCK):
        image.deliver(platforms, place)
        begin_signing(session, image.root_hash, place, deltas_from)
    return place


@dataclass
class Image(Inventories, Sboms):
    """Everything after the packages, each made when it is first asked for."""

    def deliver(self, platforms: Sequence[Platform], place: Path) -> None:
        """Leave everything in `place`."""
        folders = {**self.platforms(platforms), BOOT: self.boot, "update": self.update, "sbom": self.sbom}
        for name, entry in folders.items():
            deliver(entry.out, place / name, self.session.events)
        inventory = (self.inventory.out / INVENTORY).read_bytes()
        deliver_file(inventory, place / INVENTORY, self.session.events)
        names = [platform.name for platform in platforms]
        statement = provenance(self.session, names, {**folders, "": self.inventory}, self.earlier)
        _leave_statement(statement, place, self.session)

    @cached_property
    def packed(self) -> Entry:
        """out/data and out/index: the disk's data, compressed once for all platforms."""

        def run(work: Work) -> None:
            pack(self.disk.out / "disk.raw", work.out, sdk_root=self.session.sdk.root)

        return self.stage("packed", {"disk": self.disk.digest}, (self.disk,), run)

    def platforms(self, wanted: Sequence[Platform]) -> dict[str, Entry]:
        """What the platforms' own tools read, side by side; what the store has is not made again."""
        executor = self.session.executor
        stages = [self._platform(platform) for platform in wanted]
        for number, platform in enumerate(wanted):
            if platform.packs and executor.store.find(stages[number].key) is None:
                uses = (*stages[number].uses, self.packed)
                stages[number] = replace(stages[number], uses=uses)
        # a good part of a target's time is waiting: for mke2fs, for the disk
        with ThreadPoolExecutor(2 * self.session.cores, thread_name_prefix="platform") as pool:
            # those with the most files first, so that none of them is what all wait for in the end
            order = sorted(zip(wanted, stages, strict=True), key=lambda pair: -len(pair[0].outputs))
            running = {platform.name: pool.submit(executor.obtain, stage) for platform, stage in order}
            try:
                return {name: future.result() for name, future in running.items()}
            except BaseException:
                # those that run come to their end and stay in the store; no other is begun
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def platform(self, platform: Platform) -> Entry:
        """What one platform's own tools read, made of the disk."""
        return self.platforms([platform])[platform.name]

    def _platform(self, platform: Platform) -> Stage:
        manifest = self.session.loaded.manifest
        settings = manifest.platforms.get(platform.name)
        inputs = {
            "disk": self.disk.digest,
            "settings": settings.model_dump_json() if settings else "",
            "manifest": manifest.part_json("id", "name"),
        }

        def run(work: Work) -> None:
            context = Context(
                id=manifest.id,
                name=manifest.name,
                version=self.session.loaded.version,
                sdk_root=self.session.sdk.root,
                epoch=self.session.loaded.epoch,
                settings=settings.model_dump() if settings else {},
            )
            packed = self.packed.out if platform.packs else None
            platform.emit(
                self.disk.out / "disk.raw",
                context,
                work.out,
                Packed(packed / "data", packed / "index") if packed else None,
            )

        return self.prepare(f"image:{platform.name}", inputs, (self.disk,), run)


def _leave_statement(statement: bytes, place: Path, session: Session) -> None:
    """Leave the provenance to be signed, unless it is there and signed."""
    signed = place / "provenance.json"
    if not signed.is_file() or parse(signed.read_bytes()).content() != statement:
        deliver_file(statement, place / f"provenance{UNSIGNED}", session.events)
