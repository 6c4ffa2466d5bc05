"""`colvert digest`: all versions and all USE flags of a package, and no line of its Manifest is lost."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.build.digest import write_manifest
from builder.build.session import Request, Session, open_session
from builder.errors import Code, ColvertError
from builder.packages.fetch import read_manifest
from builder.pipeline.events import Event, Events
from builder.sandbox.sdk import Sdk
from tests.build.conftest import COLVERT, HEAD, Workshop
from tests.server import Files, serve

THICK = "EBUILD dd-1.ebuild 3 BLAKE2B 00 SHA512 11\nAUX x.patch 1 BLAKE2B 00 SHA512 11\n"


@pytest.fixture
def server() -> Iterator[Files]:
    with serve(Files()) as made:
        yield made


@pytest.fixture
def package(workshop: Workshop, server: Files) -> Path:
    """A package of two versions in slots of their own, one with a source for a USE flag."""
    folder = workshop.overlay / "app-misc/dd"
    folder.mkdir(parents=True)
    for version in ("1", "2"):
        text = HEAD.replace('SLOT="0"', f'SLOT="{version}"')
        more = (
            f'IUSE="extra"\nSRC_URI="{server.url}/dd-{version}.tar extra? ( {server.url}/x-{version}.tar )"\n'
        )
        (folder / f"dd-{version}.ebuild").write_text(text + more)
        server.files[f"dd-{version}.tar"] = f"dd {version}".encode()
        server.files[f"x-{version}.tar"] = f"x {version}".encode()
    return folder


def opened(workshop: Workshop, sdk: Sdk, seen: list[Event]) -> Session:
    manifest = workshop.overlay.parent / "os.yaml"
    manifest.write_text(
        f"id: x\nname: X\nversion: '1'\nepoch: 1\noverlays:\n  - {COLVERT}\n  - {workshop.overlay}\n"
    )
    session = open_session(Request(manifest, workshop.home.root), Events(seen.append))
    session.sdk = sdk
    return session


def test_every_version_has_its_lines(workshop: Workshop, sdk: Sdk, package: Path, server: Files) -> None:
    (package / "Manifest").write_text(THICK)
    (package / "Manifest").chmod(0o600)
    session = opened(workshop, sdk, [])
    assert write_manifest(session, "app-misc/dd").changed
    text = (package / "Manifest").read_text()
    assert text.startswith(THICK)
    pinned = read_manifest(package / "Manifest")
    assert sorted(pinned) == ["dd-1.tar", "dd-2.tar", "x-1.tar", "x-2.tar"]
    assert pinned["x-1.tar"][1]["SHA512"] == hashlib.sha512(b"x 1").hexdigest()
    assert (package / "Manifest").stat().st_mode & 0o777 == 0o600
    assert not write_manifest(session, "app-misc/dd").changed
    # one version alone
    server.files["dd-1.tar"] = server.files["dd-2.tar"] = b"new"
    assert write_manifest(session, "app-misc/dd-2").changed
    after = read_manifest(package / "Manifest")
    assert after["dd-1.tar"][:2] == pinned["dd-1.tar"][:2]
    assert after["dd-2.tar"][1]["SHA512"] == hashlib.sha512(b"new").hexdigest()
    assert sorted(path.name for path in package.iterdir()) == ["Manifest", "dd-1.ebuild", "dd-2.ebuild"]


def test_a_source_that_is_gone_keeps_its_line(
    workshop: Workshop, sdk: Sdk, package: Path, server: Files
) -> None:
    seen: list[Event] = []
    session = opened(workshop, sdk, seen)
    write_manifest(session, "app-misc/dd")
    before = (package / "Manifest").read_text()
    del server.files["dd-1.tar"]
    assert not write_manifest(session, "app-misc/dd").changed
    assert [event.text for event in seen if event.kind == "warning" and "dd-1.tar" in (event.text or "")]
    assert (package / "Manifest").read_text() == before
    # one that was never pinned is needed, and nothing is written without it
    (package / "Manifest").unlink()
    with pytest.raises(ColvertError) as caught:
        write_manifest(session, "app-misc/dd")
    assert caught.value.code is Code.FETCH_FAILED
    assert not (package / "Manifest").exists()
