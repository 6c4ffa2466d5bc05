"""Signatures put into a release, and the release assembled again with those of its boot files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from builder.arch import ARCHITECTURES
from builder.boot import DEFAULT_LOADER, LOADERS
from builder.build.image import Image, deliver_image, make_image, make_release
from builder.build.session import Request, Session, mending, open_session
from builder.build.tree import TREE
from builder.build.trusted_keys import check_update
from builder.build.uki import UKI
from builder.errors import Code, ColvertError
from builder.pipeline.events import Events
from builder.pipeline.lock import held
from builder.platforms import PLATFORMS
from builder.signing import authenticode
from builder.signing.attach import LOCK, Attaching, BootSigned, Done, Missing
from builder.signing.boot_signatures import LOADER_ITEM, UKI_ITEM, USR_ROOT_HASH
from builder.signing.phases import Build, go_on, read_build
from builder.signing.trust import Trust
from builder.updates.keys import DEVELOPMENT, development_key


def attach(
    place: Path, files: Sequence[Path], trust: Trust, home: Path | None, events: Events
) -> Missing | Done:
    """Put the signatures in the files into the release; another attach waits."""
    build = read_build(place)
    own = development_key(build.path(build.state, place)) if build.keys.release == DEVELOPMENT else None
    attaching = Attaching(place, trust, own)
    with held(place / LOCK):
        outcome = attaching.take(files)
        while isinstance(outcome, BootSigned):
            _assemble(_open(build, place, home, events), build, outcome, place.absolute())
            # the indexes name the files that were just made; signatures of them may have come before
            go_on(build, place, own)
            outcome = attaching.take([])
        return outcome


def _open(build: Build, place: Path, home: Path | None, events: Events) -> Session:
    """The build of the release once more, with its version and clock."""
    pinned = {**build.overrides, "version": build.version, "epoch": str(build.created)}
    request = Request(
        build.path(build.manifest, place), home, overrides=pinned, state=build.path(build.state, place)
    )
    return open_session(request, events)


def _assemble(session: Session, build: Build, signed: BootSigned, place: Path) -> None:
    """Make disks, platform images and update files again out of the store, with the boot signatures."""
    earlier = check_update(session, [build.path(path, place) for path in build.deltas_from])
    platforms = [one for name, one in PLATFORMS.items() if (place / name).is_dir()]

    def work() -> None:
        # first what was signed: nothing is made of another
        boot = make_image(session, ["uki", "tree"], signatures=signed.signatures)
        _check_same(boot, session, build, signed)
        image = make_release(session, platforms, earlier, signed.signatures)
        deliver_image(session, image, platforms, place, earlier)

    mending(session.events, work)


def _check_same(image: Image, session: Session, build: Build, signed: BootSigned) -> None:
    """The checkout still makes what was signed."""
    store = session.store
    tree = store.path(image.tree.artifact) / TREE
    loader = LOADERS[DEFAULT_LOADER].program(ARCHITECTURES[session.loaded.manifest.architecture])
    files = {UKI_ITEM: store.path(image.uki.artifact) / UKI, LOADER_ITEM: tree / loader}
    made = {
        name: authenticode.digest(authenticode.parse_pe(path.read_bytes())) for name, path in files.items()
    }
    made[USR_ROOT_HASH] = image.root_hash
    other = [item.name for item in signed.request.items if made.get(item.name) != item.digest]
    if other or image.root_hash != build.root_hash:
        raise ColvertError(
            Code.RELEASE_INVALID,
            f"the checkout builds another image than the signed one: {', '.join(other) or '/usr'} differs",
            hint="check out the commit that the release was built from",
        )
