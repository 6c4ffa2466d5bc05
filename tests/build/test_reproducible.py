"""Same bytes twice, by `colvert reproduce`: other circumstances change nothing, and what does is told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from builder.build.session import Request, Session, open_session
from builder.pipeline.entry import Entry
from builder.pipeline.events import Events
from builder.rebuild.reproduce import MEMORY, Report, Wish, reproduce
from builder.sandbox.sdk import Sdk
from tests.build.conftest import COLVERT, HEAD, Workshop
from tests.build.places import workplace

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
# what says itself how it was made
HONEST = f"""{HEAD}S="${{WORKDIR}}"
src_install() {{ insinto /usr/share; newins - same <<<"same"; newins - cores <<<"$(nproc)"; }}
"""


place = pytest.fixture(workplace)


def compared(report: Report, stage: str) -> set[str]:
    return {output.label for output in report.outputs if output.stage == stage}


def test_packages_are_bit_identical(session: Session, packages: Mapping[str, Entry], place: Path) -> None:
    report = reproduce(session, Wish(packages=SAMPLE, work=place))
    chosen = {session.plan.find(atom).cpv for atom in SAMPLE}
    assert compared(report, "package") == chosen
    assert [output for output in report.outputs if not output.same] == []
    varied = {item.name for item in report.circumstances if item.varied}
    wanted = {"path of checkout", "path of home", "time zone", "locale", "umask at start", "compile jobs"}
    assert wanted <= varied
    assert os.geteuid() != 0 or "user id" in varied
    assert set(report.not_rebuilt).isdisjoint(f"package {cpv}" for cpv in chosen)
    assert list(place.iterdir()) == []


def test_the_assembly_is_bit_identical(
    session: Session, packages: Mapping[str, Entry], release: Path, place: Path
) -> None:
    report = reproduce(session, Wish(targets=("qemu",), first_stage="tree", work=place))
    assert {"tree", "usr", "initrd", "uki", "disk", "image"} <= {o.stage for o in report.outputs}
    assert [output for output in report.outputs if not output.same] == []
    assert {f"package {cpv}" for cpv in packages} <= set(report.not_rebuilt)


def test_another_order_on_disk_changes_nothing(session: Session, packages: Mapping[str, Entry]) -> None:
    """In memory, which lists directories in another order than a disk does."""
    report = reproduce(session, Wish(packages=("app-arch/lz4", "sys-libs/zlib"), work=MEMORY))
    assert "order on disk" in {item.name for item in report.circumstances if item.varied}
    assert [output for output in report.outputs if not output.same] == []


def test_what_differs_is_named(workshop: Workshop, sdk: Sdk, place: Path) -> None:
    folder = workshop.overlay / "dev-libs/honest"
    folder.mkdir(parents=True)
    (folder / "honest-1.ebuild").write_text(HONEST)
    manifest = workshop.overlay.parent / "os.yaml"
    manifest.write_text(
        f"id: x\nname: X\nversion: '1'\nepoch: 1\nprofile: colvert/amd64\noverlays:\n  - {COLVERT}\n"
        f"  - {workshop.overlay}\npackages:\n  - dev-libs/honest\nkernel:\n  package: dev-libs/honest\n"
    )
    (workshop.home.sdk).rmdir()
    workshop.home.sdk.symlink_to(sdk.root.parent.parent)
    session = open_session(Request(manifest, workshop.home.root), Events())
    report = reproduce(session, Wish(work=place))
    [package] = [output for output in report.outputs if output.stage == "package"]
    assert not report.same
    assert package.inherited == ()
    unlike = {line.partition(":")[0] for line in package.differences}
    assert "image/usr/share/cores" in unlike
    assert "image/usr/share/same" not in unlike
