"""Signing: what a build notes for the signing step, and how a release is assembled again with signatures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from builder.errors import Code, ColvertError
from builder.pipeline.events import Event, Kind
from builder.release import authenticode
from builder.release.attach import Assemble, BootSignatures
from builder.release.contents import FILE, REQUEST, KeyNames
from builder.release.request import Request
from builder.release.rounds import Build, begin
from builder.stages.ring import signer
from builder.stages.session import Session

if TYPE_CHECKING:
    from builder.stages.image import Image


def begin_signing(image: Image, place: Path, deltas_from: Sequence[Path]) -> None:
    """Note what was built, and sign with the checkout's key or say what waits for which keys."""
    session = image.session
    request = begin(_build(image, deltas_from), place, signer(session))
    if request is None:
        text = f"{place / FILE}: signed by the checkout's development key"
    else:
        names = ", ".join(sorted({item.key for item in request.items}))
        text = f"{place / REQUEST} waits for the keys {names}: colvert sign, then colvert attach"
    session.events.emit(Event(kind=Kind.MESSAGE, text=text))


def _build(image: Image, deltas_from: Sequence[Path]) -> Build:
    session, loaded = image.session, image.session.loaded
    manifest = loaded.manifest
    return Build(
        manifest=str(loaded.path.absolute()),
        overrides=dict(session.overrides),
        state=str(session.state),
        deltas_from=[str(path.absolute()) for path in deltas_from],
        image_id=manifest.id,
        architecture=manifest.architecture,
        version=loaded.version,
        created=loaded.epoch,
        root_hash=image.root_hash,
        keys=KeyNames(
            usr=manifest.keys.usr, secure_boot=manifest.keys.secure_boot, release=manifest.keys.release
        ),
    )


def assembler(open_build: Callable[[Build], Session], place: Path) -> Assemble:
    """What makes disks, platform images and update files again, with signatures, out of the store."""

    def assemble(build: Build, request: Request, signatures: BootSignatures) -> None:
        from builder.platforms import PLATFORMS
        from builder.stages.image import Image
        from builder.stages.update import check_update

        session = open_build(build)
        earlier = check_update(session, [Path(path) for path in build.deltas_from])
        image = Image(session, session.build_packages(), earlier, signatures=signatures)
        _check_same(image, build, request)
        image.deliver([one for name, one in PLATFORMS.items() if (place / name).is_dir()], place)

    return assemble


def _check_same(image: Image, build: Build, request: Request) -> None:
    """The checkout still makes what was signed."""
    files = {"uki": image.uki.out / "uki.efi", "loader": image.loader}
    made = {
        name: authenticode.digest(authenticode.parse_pe(path.read_bytes())) for name, path in files.items()
    }
    made["usr-root-hash"] = image.root_hash
    other = [item.name for item in request.items if made.get(item.name) != item.digest]
    if other or image.root_hash != build.root_hash:
        raise ColvertError(
            Code.RELEASE_INVALID,
            f"the checkout no longer makes what was signed: {', '.join(other) or '/usr'} differs",
            hint="check out the commit that the release was built from",
        )
