"""A source that is gone: the newest patch release from Debian's signed index, or a clear failure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builder.build.lockfile import write_lock
from builder.build.provenance import provenance
from builder.build.session import Request, Session, open_session
from builder.errors import Code, ColvertError
from builder.manifest.load import load
from builder.pipeline.events import Event, Events
from builder.pipeline.key import digest_tree
from builder.rebuild.export import make_lock
from builder.sandbox.sdk import Sdk
from tests.build.conftest import COLVERT, HEAD, Workshop

# as if popt's release had been pinned when 1.18 was the newest; no mirror has that one
GONE = "popt_1.18+dfsg.orig.tar.xz"
EBUILD = f"""{HEAD}S="${{WORKDIR}}"
SRC_URI="mirror://debian/pool/main/p/popt/popt_${{PV}}+dfsg.orig.tar.xz"
src_install() {{ insinto /usr/share; newins - version <<<"${{PV}}"; }}
"""


@pytest.fixture
def pinned(workshop: Workshop) -> Path:
    """A manifest whose one package needs a source that is gone."""
    folder = workshop.overlay / "dev-libs/popt-data"
    folder.mkdir(parents=True)
    (folder / "popt-data-1.18.ebuild").write_text(EBUILD)
    (folder / "Manifest").write_text(f"DIST {GONE} 1000 BLAKE2B {'0' * 128} SHA512 {'0' * 128}\n")
    manifest = workshop.overlay.parent / "os.yaml"
    manifest.write_text(
        f"id: x\nname: X\nversion: '1'\nepoch: 1\nprofile: colvert/amd64\noverlays:\n  - {COLVERT}\n"
        f"  - {workshop.overlay}\npackages:\n  - dev-libs/popt-data\n"
        "kernel:\n  package: dev-libs/popt-data\n"
    )
    return manifest


def opened(
    workshop: Workshop, manifest: Path, sdk: Sdk, seen: list[Event], lock: Path | None = None
) -> Session:
    session = open_session(Request(manifest, workshop.home.root, lock=lock), Events(seen.append))
    session.sdk = sdk
    assert session.loaded == load(manifest)
    return session


def test_the_newest_patch_release_takes_its_place(workshop: Workshop, pinned: Path, sdk: Sdk) -> None:
    before = digest_tree(workshop.overlay)
    seen: list[Event] = []
    session = opened(workshop, pinned, sdk, seen)
    [(cpv, entry)] = session.build_packages(["dev-libs/popt-data"]).items()
    assert cpv != "dev-libs/popt-data-1.18"
    assert (entry.out / "image/usr/share/version").read_text().strip() == cpv.rpartition("-")[2]
    warnings = [event.text for event in seen if event.kind == "warning"]
    assert len(warnings) == 1
    assert cpv.rpartition("-")[2] in warnings[0]
    assert digest_tree(workshop.overlay) == before
    statement = json.loads(provenance(session, [], {}))["predicate"]["buildDefinition"]
    newer = cpv.rpartition("-")[2]
    assert statement["internalParameters"]["bumps"] == [
        {"package": "dev-libs/popt-data", "pinned": "1.18", "taken": newer, "gone": GONE}
    ]
    named = {item["name"] for item in statement["resolvedDependencies"]}
    assert f"distfile:{GONE.replace('1.18', newer)}" in named and f"distfile:{GONE}" not in named
    # and again, from the store
    again = opened(workshop, pinned, sdk, [])
    assert again.build_packages(["dev-libs/popt-data"])[cpv].path == entry.path


def test_locked_fails_and_says_so(workshop: Workshop, pinned: Path, sdk: Sdk) -> None:
    lock = pinned.with_name("colvert.lock")
    write_lock(make_lock(opened(workshop, pinned, sdk, [])), lock)
    session = opened(workshop, pinned, sdk, [], lock)
    with pytest.raises(ColvertError) as caught:
        session.build_packages()
    assert caught.value.code is Code.FETCH_FAILED
    assert "--locked" in caught.value.hint
    assert caught.value.where is not None
    assert any("404" in line for line in caught.value.detail)


def test_without_a_newer_release_it_fails(workshop: Workshop, pinned: Path, sdk: Sdk) -> None:
    folder = workshop.overlay / "dev-libs/popt-data"
    (folder / "popt-data-1.18.ebuild").rename(folder / "popt-data-1.999.ebuild")
    manifest = folder / "Manifest"
    manifest.write_text(manifest.read_text().replace("1.18", "1.999"))
    session = opened(workshop, pinned, sdk, [])
    with pytest.raises(ColvertError) as caught:
        session.build_packages()
    assert caught.value.code is Code.FETCH_FAILED
    assert "popt-data" in caught.value.what
