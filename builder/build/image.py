"""Image of a manifest: made by the scheduler, delivered to OUT/VERSION."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from builder.build.blueprint import Blueprint, delivered, digest_jobs
from builder.build.digests import FILE as DIGESTS
from builder.build.licences import check_licences
from builder.build.outputs import Deliveries, same
from builder.build.provenance import provenance
from builder.build.session import Session
from builder.build.signing import begin_signing, leave_payload
from builder.build.targets import choose
from builder.build.trusted_keys import check_update
from builder.build.usr import ROOT_HASH
from builder.errors import Code, ColvertError, Location
from builder.pipeline.entry import Entry
from builder.pipeline.lock import held
from builder.pipeline.scheduler import Job, closure
from builder.pipeline.store import Store
from builder.platforms import PLATFORMS, Platform
from builder.signing.attach import LOCK
from builder.signing.boot_signatures import UNSIGNED as NO_SIGNATURES
from builder.signing.boot_signatures import BootSignatures
from builder.updates.contents import BOOT, PROVENANCE, UPDATE_INDEX, pending
from builder.updates.delta import UNSIGNED, Earlier


@dataclass(frozen=True)
class Image:
    """The artifacts of one image by the names of their jobs, and of the packages by cpv."""

    entries: Mapping[str, Entry]
    root_hash: str

    def __getitem__(self, name: str) -> Entry:
        return self.entries[name]

    @property
    def tree(self) -> Entry:
        return self.entries["tree"]

    @property
    def usr(self) -> Entry:
        return self.entries["usr"]

    @property
    def initrd(self) -> Entry:
        return self.entries["initrd"]

    @property
    def uki(self) -> Entry:
        return self.entries["uki"]

    @property
    def boot(self) -> Entry:
        return self.entries["boot"]

    @property
    def disk(self) -> Entry:
        return self.entries["disk"]


def make_image(
    session: Session,
    wanted: Sequence[str],
    platforms: Sequence[Platform] = (),
    earlier: Sequence[Earlier] = (),
    signatures: BootSignatures = NO_SIGNATURES,
) -> Image:
    """Make the jobs called `wanted` of a manifest's image and all that they need, packages included."""

    def make() -> Image:
        blueprint = Blueprint(session, tuple(earlier), signatures)
        # taken in now, as provenance names them, and not when a job comes to them
        blueprint.take_in()
        jobs = [*session.builder.jobs(), *blueprint.jobs(platforms)]
        jobs += digest_jobs([job.name for job in jobs])
        done = session.scheduler.run(closure(jobs, wanted))
        root_hash = session.store.read(done["usr"].part(ROOT_HASH)).decode() if "usr" in done else ""
        return Image(done, root_hash)

    return session.with_newer_sources(make)


def image_jobs(session: Session, platforms: Sequence[Platform]) -> list[Job]:
    """All jobs of a manifest's image, packages first."""
    return [*session.builder.jobs(), *Blueprint(session).jobs(platforms)]


def build_images(
    session: Session, targets: Sequence[str], out: Path, deltas_from: Sequence[Path] = ()
) -> Path:
    """Build everything for the targets, and the update files; returns `out`/VERSION."""
    platforms = choose(targets)
    earlier = check_update(session, deltas_from)
    check_licences(session)
    image = make_release(session, platforms, earlier)
    place = out / session.loaded.version
    with held(place / LOCK):
        check_folders(session.store, image.boot, [one.name for one in platforms], place)
        deliver_image(session, image, platforms, place, earlier)
        begin_signing(session, image.root_hash, place, deltas_from)
    return place


def make_release(
    session: Session,
    platforms: Sequence[Platform],
    earlier: Sequence[Earlier],
    signatures: BootSignatures = NO_SIGNATURES,
) -> Image:
    """Make all that a release of these platforms delivers."""
    jobs = delivered(platforms).values()
    return make_image(session, [*jobs, *(f"digests:{name}" for name in jobs)], platforms, earlier, signatures)


def check_folders(store: Store, boot: Entry, wanted: Sequence[str], place: Path) -> None:
    """Refuse folders of other platforms in `place` that were made with another boot folder.

    The release index lists and signs all that is there, and theirs would be images of other content.
    """
    others = [name for name in PLATFORMS if (place / name).is_dir()]
    stale = [name for name in others if name not in wanted]
    if stale and not same(store, boot, place / BOOT):
        raise ColvertError(
            Code.USAGE,
            f"{place} has {', '.join(stale)} of another build of this version",
            where=Location(str(place)),
            hint=f"rm -r {' '.join(str(place / name) for name in stale)}, or build it again too: "
            + " ".join(f"--target {name}" for name in (*wanted, *stale)),
        )


def deliver_image(
    session: Session, image: Image, platforms: Sequence[Platform], place: Path, earlier: Sequence[Earlier]
) -> None:
    """Leave everything in `place`."""
    folders = delivered(platforms)
    deliveries = Deliveries(session.store, session.events, session.home.cache / "delivered")
    envelopes = pending(session.loaded.version)
    update, statement = envelopes[UPDATE_INDEX], envelopes[PROVENANCE]
    for folder, job in folders.items():
        if folder == "":
            deliveries.files(image[job], place)
        elif folder == "update":
            # its payload becomes a signed index there
            deliveries.folder(image[job], place / folder, without=UNSIGNED, beside=tuple(update.files))
            leave_payload((session.store.read(image[job].part(UNSIGNED))), update, place, session.events)
        else:
            deliveries.folder(image[job], place / folder)
    digests = _digests(session, image, folders)
    names = [platform.name for platform in platforms]
    leave_payload(provenance(session, names, digests, earlier), statement, place, session.events)


def _digests(session: Session, image: Image, folders: Mapping[str, str]) -> dict[str, str]:
    """The SHA-256 of every file by its path in the release."""
    found: dict[str, str] = {}
    for folder, job in folders.items():
        text = session.store.read(image[f"digests:{job}"].part(DIGESTS))
        found |= {str(PurePosixPath(folder) / name): digest for name, digest in json.loads(text).items()}
    return found
