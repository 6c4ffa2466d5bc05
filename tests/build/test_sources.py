"""An export of sources: everything is in it, and a build from it needs no network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from builder.build.lockfile import PROJECT, read_lock
from builder.build.session import Session
from builder.build.sources import open_sources
from builder.pipeline.entry import Entry
from builder.pipeline.key import digest_content, digest_file, walk
from builder.rebuild.export import export_sources
from builder.rebuild.reproduce import hand_to
from builder.sandbox.run import sandbox_id
from builder.updates.dsse import parse
from tests.build.places import open_place

# leaves of five build systems; all else comes from the store
AGAIN = ("app-arch/lz4", "dev-libs/json-c", "sys-apps/less", "sys-libs/libcap", "dev-libs/popt")
NO_NETWORK = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--map-current-user", "--net")


@pytest.fixture(scope="module")
def place(session: Session) -> Iterator[Path]:
    """Where the builds run: with the keys of this checkout, which no export holds."""
    with open_place() as made:
        shutil.copytree(session.state / "keys", made / ".colvert/keys")
        yield made


@pytest.fixture(scope="module")
def export(session: Session, place: Path) -> Path:
    return export_sources(session, place / "sources")


def build(export: Path, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`build-image --sources`, in a namespace with no network, and in no checkout."""
    code = "from builder.cli.main import build_image; build_image()"
    argv = [*NO_NETWORK, sys.executable, "-c", code, "--sources", str(export), "--home", str(home), *words]
    env = {**os.environ, "PYTHONPATH": str(PROJECT)}
    return subprocess.run(argv, cwd=home.parent, env=env, capture_output=True, text=True, check=False)


def files(root: Path) -> dict[str, str]:
    """The digests of a release's files, without the notes of where it was built.

    The provenance, and so the index that names it, says whether a build was held to a lock.
    """
    return {
        name: digest_content(Path(item.path), item.stat().st_size)
        for name, item in walk(root)
        if item.is_file() and not name.startswith(".") and name not in ("provenance.json", "release.json")
    }


def statement(root: Path) -> dict[str, Any]:
    found = json.loads(parse((root / "provenance.json").read_bytes()).content())
    assert isinstance(found, dict)
    return found


def test_the_export_holds_what_the_lock_names(export: Path, session: Session) -> None:
    sources = open_sources(export)
    lock = read_lock(sources.lock)
    assert set(lock.sources) == {path.name for path in sources.distfiles.iterdir()}
    assert lock.sdk.id == session.sdk.id
    wheels = " ".join(path.name.lower().replace("_", "-") for path in (export / "wheels").iterdir())
    assert [name for name in lock.python.packages if f"{name}-" not in wheels] == []


def test_an_export_is_the_same_twice(export: Path, session: Session, place: Path) -> None:
    again = export_sources(session, place / "again.tar", wheels=False)
    other = export_sources(session, place / "other.tar", wheels=False)
    assert digest_file(again) == digest_file(other)
    again.unlink()
    other.unlink()


def test_a_part_is_built_again_without_network(
    export: Path, session: Session, packages: Mapping[str, Entry], release: Path, place: Path
) -> None:
    home = place / "home"
    chosen = {session.plan.find(name).cpv for name in AGAIN}
    for cpv, entry in packages.items():
        if cpv not in chosen:
            session.store.copy_to(entry, home / "store")
    if (owner := sandbox_id()) is not None:
        hand_to(home, owner)
    done = build(export, home, "--json", "--out", str(place / "out"))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    made = [line for line in done.stdout.splitlines() if '"finished"' in line and '"package"' in line]
    assert {cpv for cpv in packages if any(f'"{cpv}"' in line for line in made)} == chosen
    [version] = (place / "out").iterdir()
    assert files(version) == files(release)
    assert statement(version)["subject"] == statement(release)["subject"]


def test_without_a_source_it_is_refused(export: Path, place: Path) -> None:
    gone = export / "distfiles/lz4-1.10.0.tar.gz"
    kept = gone.rename(place / gone.name)
    try:
        done = build(export, place / "refused", "--package", "lz4")
    finally:
        kept.rename(gone)
    assert done.returncode == 2
    assert "lz4-1.10.0.tar.gz is missing" in done.stderr
    assert not (place / "refused").exists()


@pytest.mark.long
def test_everything_is_built_again_without_network(
    export: Path, packages: Mapping[str, Entry], release: Path, place: Path
) -> None:
    done = build(export, place / "cold", "--out", str(place / "whole"))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    [version] = (place / "whole").iterdir()
    assert files(version) == files(release)
