"""tests/unit: Gentoo's own linter over the overlay; nothing it finds stays without a written reason.

pkgcheck knows neither of two things that Colvert adds when it runs: what the SDK provides
(a BDEPEND that no ebuild satisfies) and where mirror://debian is. So it scans a copy with a
stub ebuild for each tool of the SDK and an address for the mirror, and the stubs' own
findings are dropped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
OVERLAY = ROOT / "overlays" / "colvert"
PROVIDED = ROOT / "builder" / "sandbox" / "recipe" / "provided.txt"
ACCEPTED = OVERLAY / "metadata" / "pkgcheck-accepted.yaml"

STUB = """\
# Copyright 2026 Colvert Authors
# Distributed under the terms of the Apache License 2.0

EAPI=8

DESCRIPTION="A tool that the SDK provides"
HOMEPAGE="https://example.org/colvert"
S="${WORKDIR}"

LICENSE="Apache-2.0"
SLOT="0"
KEYWORDS="amd64"
"""


@dataclass(frozen=True)
class Finding:
    """One line of pkgcheck's report; package is empty for findings about the whole overlay."""

    package: str
    keyword: str
    message: str


@dataclass(frozen=True)
class Acceptance:
    """A finding that stays, with its reason."""

    keyword: str
    reason: str
    packages: tuple[str, ...] = ()

    def covers(self, finding: Finding) -> bool:
        return finding.keyword == self.keyword and (not self.packages or finding.package in self.packages)


def _provided() -> set[str]:
    """What the SDK provides and the overlay has no ebuild for, as category/name."""
    lines = (line.split("#")[0].split() for line in PROVIDED.read_text().splitlines())
    return {words[0] for words in lines if words and not (OVERLAY / words[0]).is_dir()}


def _scan_copy(where: Path, stubs: set[str]) -> Path:
    copy = where / "colvert"
    shutil.copytree(OVERLAY, copy, ignore=shutil.ignore_patterns("md5-cache"))
    for package in stubs:
        folder = copy / package
        folder.mkdir(parents=True)
        (folder / f"{folder.name}-1.ebuild").write_text(STUB)
    (copy / "profiles" / "thirdpartymirrors").write_text("debian https://debian.invalid/debian\n")
    return copy


def _leaves(report: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[Finding]:
    """JsonReporter nests category, package, version, level and keyword, as far as each applies."""
    for key, value in report.items():
        if not key.startswith("_"):
            yield from _leaves(value, (*path, key))
            continue
        for keyword, messages in value.items():
            for message in messages if isinstance(messages, list) else [messages]:
                yield Finding("/".join(path[:2]), keyword, str(message))


def _scan(copy: Path, *targets: str) -> list[Finding]:
    options = ["--config", "no", "--reporter", "JsonReporter", "--repo", str(copy)]
    done = subprocess.run(
        [sys.executable, "-m", "pkgcheck", "scan", *options, *targets],
        env={**os.environ, "HOME": str(copy.parent), "XDG_CACHE_HOME": str(copy.parent), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [finding for line in done.stdout.splitlines() for finding in _leaves(json.loads(line))]


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> list[Finding]:
    stubs = _provided()
    found = _scan(_scan_copy(tmp_path_factory.mktemp("pkgcheck"), stubs))
    return [finding for finding in found if finding.package not in stubs]


@pytest.fixture(scope="module")
def acceptances() -> list[Acceptance]:
    entries = yaml.safe_load(ACCEPTED.read_text())["accepted"]
    return [Acceptance(e["keyword"], e["reason"], tuple(e.get("packages", ()))) for e in entries]


def test_every_finding_has_a_reason(findings: list[Finding], acceptances: list[Acceptance]) -> None:
    left = [f for f in findings if not any(acceptance.covers(f) for acceptance in acceptances)]
    assert not left, "\n".join(f"{f.package}: {f.keyword}: {f.message}" for f in left)


def test_every_reason_has_a_finding(findings: list[Finding], acceptances: list[Acceptance]) -> None:
    stale = [a.keyword for a in acceptances if not any(a.covers(finding) for finding in findings)]
    assert not stale


def test_reasons_are_written(acceptances: list[Acceptance]) -> None:
    assert all(len(acceptance.reason.split()) > 5 for acceptance in acceptances)


def test_the_linter_sees_a_planted_fault(tmp_path: Path) -> None:
    """Guards the harness: a scan that finds nothing because it scanned nothing must not pass."""
    copy = _scan_copy(tmp_path, _provided())
    ebuild = next((copy / "sys-apps" / "sed").glob("*.ebuild"))
    ebuild.write_text(ebuild.read_text().replace('LICENSE="GPL-3+"', 'LICENSE="No-Such-Licence"'))
    assert "UnknownLicense" in {finding.keyword for finding in _scan(copy, "sys-apps/sed")}
