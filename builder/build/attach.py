"""Attach: how a release is assembled again, with the signatures that came back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from builder.build.image import Image, deliver_image, make_image, make_release
from builder.build.session import Session
from builder.build.tree import TREE
from builder.build.trusted_keys import check_update
from builder.build.uki import UKI
from builder.errors import Code, ColvertError
from builder.platforms import PLATFORMS
from builder.signing import authenticode
from builder.signing.attach import Assemble
from builder.signing.boot_signatures import BootSignatures
from builder.signing.phases import Build
from builder.signing.request import Request
from builder.tools.uki import LOADER


def assembler(open_build: Callable[[Build], Session], place: Path) -> Assemble:
    """What makes disks, platform images and update files again, with signatures, out of the store."""

    def assemble(build: Build, request: Request, signatures: BootSignatures) -> None:
        session = open_build(build)
        earlier = check_update(session, [Path(path) for path in build.deltas_from])
        platforms = [one for name, one in PLATFORMS.items() if (place / name).is_dir()]
        # first what was signed: nothing is made of another
        _check_same(make_image(session, ["uki", "tree"], signatures=signatures), session, build, request)
        image = make_release(session, platforms, earlier, signatures)
        deliver_image(session, image, platforms, place, earlier)

    return assemble


def _check_same(image: Image, session: Session, build: Build, request: Request) -> None:
    """The checkout still makes what was signed."""
    store = session.store
    tree = store.path(image.tree.artifact) / TREE
    files = {"uki": store.path(image.uki.artifact) / UKI, "loader": tree / LOADER}
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
