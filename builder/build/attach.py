"""Attach: how a release is assembled again, with the signatures that came back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from builder.build.image import Image
from builder.build.session import Session
from builder.build.update import check_update
from builder.errors import Code, ColvertError
from builder.platforms import PLATFORMS
from builder.signing import authenticode
from builder.signing.attach import Assemble, BootSignatures
from builder.signing.phases import Build
from builder.signing.request import Request


def assembler(open_build: Callable[[Build], Session], place: Path) -> Assemble:
    """What makes disks, platform images and update files again, with signatures, out of the store."""

    def assemble(build: Build, request: Request, signatures: BootSignatures) -> None:
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
