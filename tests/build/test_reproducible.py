"""Same bytes twice: another user, path, time zone, umask, clock and job count change nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from builder.pipeline.events import Events
from builder.pipeline.key import digest_content, digest_file, walk
from builder.pipeline.store import Entry
from builder.sandbox import run as run_module
from builder.stages.session import Request, Session, open_session
from tests.conftest import ROOT


def _copy_entry(entry: Entry, source: Path, target: Path) -> None:
    """Put an entry of one store into another, owned by whoever builds there."""
    place = target / entry.path.relative_to(source)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(entry.path, place, symlinks=True)
    uid = run_module.sandbox_id()
    if uid is not None:
        for _, item in walk(place):
            os.chown(item.path, uid, uid, follow_symlinks=False)


@pytest.fixture
def elsewhere(session: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """The same OS, opened by another user elsewhere: its store is empty."""
    root = Path(tempfile.mkdtemp(prefix="colvert-another-place-with-a-longer-name-", dir="/var/tmp"))
    root.chmod(0o755)
    # as root this is a really different user for every sandboxed program
    monkeypatch.setattr(run_module, "UNPRIVILEGED_ID", run_module.UNPRIVILEGED_ID + 4321)
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    monkeypatch.setenv("LC_ALL", "C")
    (root / "home").mkdir()
    (root / "home/sdk").symlink_to(session.home.sdk)
    old = os.umask(0o077)
    opened = open_session(Request(ROOT / "manifests/colvert.yaml", home=root / "home", jobs=1), Events())
    opened.loaded = session.loaded  # the checkout may have changed since
    yield opened
    os.umask(old)
    shutil.rmtree(root, ignore_errors=True)


# one of each way to build: plain make, autotools, meson, cmake, with libtool, with generated sources
SAMPLE = (
    "app-arch/lz4",
    "dev-libs/expat",
    "dev-libs/json-c",
    "sys-apps/kmod",
    "sys-apps/less",
    "sys-libs/libcap",
    "sys-libs/zlib",
)


def test_packages_are_bit_identical(
    session: Session, packages: Mapping[str, Entry], elsewhere: Session
) -> None:
    plan = session.plan
    chosen = [plan.find(atom).cpv for atom in SAMPLE]
    for cpv in sorted({below for one in chosen for below in plan.sysroot(one)} - set(chosen)):
        _copy_entry(packages[cpv], session.home.store, elsewhere.home.store)
    again = elsewhere.build_packages(chosen)
    assert {cpv: again[cpv].path != packages[cpv].path for cpv in chosen} == dict.fromkeys(chosen, True)
    different = [
        cpv
        for cpv in chosen
        if digest_file(again[cpv].out / "package.gpkg.tar")
        != digest_file(packages[cpv].out / "package.gpkg.tar")
    ]
    assert different == []


def test_the_assembly_is_bit_identical(
    session: Session, packages: Mapping[str, Entry], release: Path, elsewhere: Session, tmp_path: Path
) -> None:
    from builder.stages.image import build_images

    for entry in packages.values():
        _copy_entry(entry, session.home.store, elsewhere.home.store)
    second = build_images(elsewhere, ("qemu",), tmp_path)
    first_files = {
        name: digest_content(Path(item.path), item.stat().st_size)
        for name, item in walk(release)
        if item.is_file()
    }
    second_files = {
        name: digest_content(Path(item.path), item.stat().st_size)
        for name, item in walk(second)
        if item.is_file()
    }
    assert first_files == second_files
    assert any(name.endswith(".qcow2") for name in first_files)
