"""Prepare: what the tests are given: the default OS, releases of it, and its images for every platform.

Each is made once in a process; the store makes the second process's ask cheap. `python -m tests.prepare`
makes all of it, so that of several workers none waits for another's build.

A verdict on a boot test (`tests/verdicts.py`) counts these by their digests, not by the code that made them:
test modules see them as fixtures (`tests/fixtures.py`) and import nothing from here.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from builder.arch import DEFAULT
from builder.boot.systemd_boot import LOADER
from builder.build.image import build_images
from builder.build.initrd import INITRD
from builder.build.session import Request, Session, open_session
from builder.build.tree import REPORT, SIDE, TREE
from builder.build.usr import USR, VERITY
from builder.machine.credentials import checkout_key
from builder.pipeline.directories import discard
from builder.pipeline.entry import Entry
from builder.pipeline.events import Events
from builder.pipeline.files import hidden_from_git
from builder.pipeline.index import digest, survey
from builder.pipeline.key import digest_file, digest_value
from builder.pipeline.progress import PlainLines
from builder.platforms import PLATFORMS
from builder.tools.uki import UkiParts
from tests.clients.root import Clients, ensure_clients
from tests.conftest import ROOT
from tests.failings import PROPS
from tests.releases import Made, Variant, make
from tests.signer.root import ensure_signer
from tests.slots import Release
from tests.targets import Targets

STATE = ROOT / ".colvert"
# the default OS under a version and a clock of its own: the same bytes after every commit that changes none
PLAIN = Variant("1")
TIRED = {"/etc/colvert/health.d/tired": ("#!/bin/sh\necho I am tired\nexit 3\n", 0o755)}


def _release(version: str, more: Mapping[str, str | tuple[str, int]] | None = None, **files: str) -> Variant:
    own = {
        f"/etc/colvert-test/{name}": text for name, text in {"setting": f"of {version}\n", **files}.items()
    }
    return Variant(
        version, {"/usr/share/colvert-test/version": f"{version}\n", **PROPS, **own, **(more or {})}
    )


# releases that a machine becomes in turn; the last one is not healthy
RELEASES = (
    _release("1", gone="of 1\n", mine="of 1\n"),
    _release("2", new="of 2\n", mine="of 2\n"),
    _release("3"),
    _release("4", TIRED),
)


@cache
def place() -> Path:
    """A directory of this process that sandboxed programs reach, gone with it."""
    path = Path(tempfile.mkdtemp(prefix="colvert-test-", dir="/var/tmp"))
    path.chmod(0o755)
    atexit.register(discard, path)
    return path


def _folder(name: str) -> Path:
    made = place() / name
    made.mkdir(exist_ok=True)
    return made


def _events() -> Events:
    return Events(PlainLines(sys.__stderr__ or sys.stderr))


# --- the default OS -------------------------------------------------------------------


@cache
def session() -> Session:
    """The default OS, opened in the user's own home, so that a warm store makes the tests quick."""
    return open_session(Request(ROOT / "manifests/colvert.yaml"), _events())


@cache
def packages() -> Mapping[str, Entry]:
    """Every package of the default OS, compiled."""
    return session().build_packages()


@cache
def release() -> Path:
    """The directory that `build-image --target qemu` leaves."""
    return build_images(session(), ("qemu",), _folder("default"))


@cache
def clients() -> Clients:
    """Vagrant, libvirt, aws, COT: the platforms' own clients."""
    return ensure_clients(session().home)


# --- under a fixed version and clock ----------------------------------------------------


@cache
def plain() -> Session:
    """The default OS as PLAIN."""
    return PLAIN.open(_folder("plain"), state=STATE, events=_events())


@cache
def targets() -> Targets:
    """The default OS for every platform: COLVERT_TARGETS, else PLAIN."""
    named = os.environ.get("COLVERT_TARGETS")
    return Targets(Path(named) if named else build_images(plain(), tuple(PLATFORMS), _folder("targets")))


def targets_session() -> Session:
    """The session of which those are."""
    return session() if os.environ.get("COLVERT_TARGETS") else plain()


@cache
def _image() -> Made:
    return make(plain(), "image:qemu", platforms=[PLATFORMS["qemu"]])


def image() -> Path:
    """The disk that is booted: COLVERT_IMAGE, else PLAIN's for QEMU."""
    named = os.environ.get("COLVERT_IMAGE")
    if named:
        return Path(named)
    [disk] = _image().path("image:qemu").glob("*.qcow2")
    return disk


@cache
def _slots() -> tuple[Made, ...]:
    """PLAIN, and the first two of RELEASES."""
    sessions = [plain()]
    for variant in RELEASES[:2]:
        sessions.append(variant.open(_folder("manifests"), state=STATE, events=_events()))
    return tuple(make(session, "usr", "initrd") for session in sessions)


# --- releases --------------------------------------------------------------------------


@cache
def releases() -> Path:
    """OUT, with RELEASES in it, each with deltas from those before it."""
    out = _folder("releases")
    for variant in RELEASES:
        session = variant.open(_folder("manifests"), state=STATE, events=_events())
        build_images(session, ("qemu",), out, [out] if any(out.iterdir()) else [])
    return out


def slot() -> Release:
    """PLAIN as a slot holds it."""
    return _as_slot(_slots()[0])


def slots() -> tuple[Release, Release]:
    """The first two of RELEASES as slots hold them."""
    _, one, two = _slots()
    return _as_slot(one), _as_slot(two)


def _as_slot(made: Made) -> Release:
    """A variant, whose jobs `usr` and `initrd` were done, as a slot holds it."""
    loaded, tree = made.session.loaded, made.path("tree")
    kernel = json.loads((tree / REPORT).read_text())["kernel"]
    parts = UkiParts(
        architecture=DEFAULT,
        kernel=tree / SIDE / "usr/lib/modules" / kernel / "vmlinuz",
        initrd=made.path("initrd", INITRD),
        cmdline="",
        os_release=tree / TREE / "usr/lib/os-release",
        uname=kernel,
        stub=tree / SIDE / LOADER.stub(DEFAULT),
    )
    return Release(
        id=loaded.manifest.id,
        version=loaded.version,
        usr=made.path("usr", USR),
        verity=made.path("usr", VERITY),
        root_hash=made.image.root_hash,
        uki=parts,
        words=tuple(loaded.manifest.kernel.command_line),
        loader=tree / TREE / LOADER.program(DEFAULT),
    )


# --- digests ---------------------------------------------------------------------------


def _of_slots(*ones: Made) -> str:
    parts = [[one.image[job].digest for job in ("tree", "usr", "initrd")] for one in ones]
    words = [list(one.session.loaded.manifest.kernel.command_line) for one in ones]
    return digest_value([parts, words])


def _of_targets() -> str:
    platforms = list(PLATFORMS.values())
    made = make(plain(), *(f"image:{name}" for name in PLATFORMS), platforms=platforms)
    return digest_value({name: made.image[f"image:{name}"].digest for name in PLATFORMS})


def _of_release(place: Path) -> dict[str, str]:
    """What machines see of a release: what is served, and the disk."""
    [disk] = (place / "qemu").glob("*.qcow2")
    return {"update": digest(survey(place / "update")), "disk": digest_file(disk)}


# fixture -> digest of what it gives; empty where the SDK's id, which is in every key, says it
GIVEN: Mapping[str, Callable[[], str]] = {
    "sdk": lambda: "",
    "sdk_root": lambda: "",
    "host": lambda: "",
    "warm": lambda: "",
    # all that comes of building: packages, manifest, rules, trusted keys
    "packages": lambda: make(plain(), "tree").image.tree.digest,
    "image": lambda: digest_file(image()),
    "slot": lambda: _of_slots(_slots()[0]),
    "slots": lambda: _of_slots(*_slots()[1:]),
    "built": lambda: digest_value([_of_release(releases() / one.version) for one in RELEASES]),
    "targets": _of_targets,
    "clients": lambda: "",
    "policy": lambda: digest_file(ROOT / "manifests/audit.yaml"),
}


def main() -> None:
    """Make all of it."""
    for prepare in (packages, release, targets, image, _slots, releases, clients):
        prepare()
    ensure_signer(session().home)
    # machines of the tests take the checkout's key
    checkout_key(hidden_from_git(STATE))


if __name__ == "__main__":
    main()
