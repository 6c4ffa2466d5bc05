"""tests/unit: the overlay's own rules, read from its files; needs neither SDK nor Portage."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

OVERLAY = Path(__file__).parents[2] / "overlays" / "colvert"
EBUILDS = sorted(OVERLAY.glob("*/*/*.ebuild"))
PACKAGES = sorted({ebuild.parent for ebuild in EBUILDS})
TEXTS = sorted(
    path
    for path in OVERLAY.rglob("*")
    if path.is_file()
    and not {"licenses", "md5-cache"} & set(path.parts)
    and path.suffix not in {".pem", ".gz", ".xz"}
)

HEADER = "# Copyright 2026 Colvert Authors\n# Distributed under the terms of the Apache License 2.0\n"
DIGEST_LENGTH = {"BLAKE2B": 128, "SHA512": 128}
# First labels of hosts that only pass on what others publish: mirrors and package registries.
REDISTRIBUTORS = re.compile(
    r"https?://(?:deb|security|snapshot|mirrors?|pypi|registry|crates|static\.crates|proxy|rubygems|files)\."
)


def _name(path: Path) -> str:
    return str(path.relative_to(OVERLAY))


def _assigned(text: str, variable: str) -> str | None:
    """The quoted value given to a variable at global scope, as written."""
    match = re.search(rf'^{variable}="([^"]*)"', text, re.MULTILINE)
    return match[1] if match else None


def _sources(ebuild: Path) -> list[str]:
    """The words of SRC_URI, with command substitutions such as $(ver_cut 1-2) as one word."""
    text = _assigned(ebuild.read_text(), "SRC_URI") or ""
    return re.sub(r"\$\([^)]*\)", "VERSION", text).split()


def _licences(ebuild: Path) -> set[str]:
    words = (_assigned(ebuild.read_text(), "LICENSE") or "").split()
    return {word for word in words if word not in {"||", "(", ")"} and not word.endswith("?")}


def _dist_lines(package: Path) -> list[list[str]]:
    manifest = package / "Manifest"
    lines = manifest.read_text().splitlines() if manifest.exists() else []
    return [line.split() for line in lines if line.startswith("DIST ")]


def test_overlay_has_packages() -> None:
    assert len(PACKAGES) > 10


@pytest.mark.parametrize("ebuild", EBUILDS, ids=_name)
def test_header_and_eapi(ebuild: Path) -> None:
    text = ebuild.read_text()
    assert text.startswith(HEADER)
    statements = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert statements[0] == "EAPI=8", "EAPI must be the first statement"


@pytest.mark.parametrize("ebuild", EBUILDS, ids=_name)
def test_variables_that_every_ebuild_has(ebuild: Path) -> None:
    text = ebuild.read_text()
    assert _assigned(text, "KEYWORDS") == "amd64"
    for variable in ("DESCRIPTION", "HOMEPAGE", "LICENSE", "SLOT"):
        assert _assigned(text, variable), f"{variable} is missing or empty"


@pytest.mark.parametrize("ebuild", EBUILDS, ids=_name)
def test_licence_texts_exist(ebuild: Path) -> None:
    licences = _licences(ebuild)
    assert licences
    missing = {licence for licence in licences if not (OVERLAY / "licenses" / licence).is_file()}
    assert not missing


def test_no_licence_text_without_a_package() -> None:
    used = {licence for ebuild in EBUILDS for licence in _licences(ebuild)}
    assert {path.name for path in (OVERLAY / "licenses").iterdir()} == used


@pytest.mark.parametrize("package", PACKAGES, ids=_name)
def test_metadata(package: Path) -> None:
    root = ElementTree.parse(package / "metadata.xml").getroot()
    assert root.tag == "pkgmetadata"
    assert [email.text for email in root.findall("maintainer/email")] == ["colvert@example.org"]


@pytest.mark.parametrize("package", PACKAGES, ids=_name)
def test_one_version_each(package: Path) -> None:
    assert len(list(package.glob("*.ebuild"))) == 1


@pytest.mark.parametrize("package", PACKAGES, ids=_name)
def test_manifest(package: Path) -> None:
    ebuild = next(package.glob("*.ebuild"))
    dists = _dist_lines(package)
    assert bool(dists) == (_assigned(ebuild.read_text(), "SRC_URI") is not None)
    for _, name, size, *pairs in dists:
        assert int(size) > 0, name
        digests = dict(zip(pairs[::2], pairs[1::2], strict=True))
        assert set(digests) == set(DIGEST_LENGTH), name
        for kind, length in DIGEST_LENGTH.items():
            assert re.fullmatch(rf"[0-9a-f]{{{length}}}", digests[kind]), f"{name}: {kind}"


@pytest.mark.parametrize("ebuild", EBUILDS, ids=_name)
def test_debian_sources_have_a_file_name_of_their_own(ebuild: Path) -> None:
    """Debian's names (foo_1.orig.tar.xz) would not be found on any other mirror."""
    for here, following in pairwise([*_sources(ebuild), ""]):
        if here.startswith("mirror://debian/"):
            assert following == "->", here


@pytest.mark.parametrize("ebuild", EBUILDS, ids=_name)
def test_sources_come_encrypted_from_upstream_or_the_mirror(ebuild: Path) -> None:
    for word in _sources(ebuild):
        if "://" in word:
            assert word.startswith(("https://", "mirror://debian/pool/main/")), word


@pytest.mark.parametrize("path", TEXTS, ids=_name)
def test_no_redistributor_is_named(path: Path) -> None:
    assert not REDISTRIBUTORS.search(path.read_text(encoding="utf-8", errors="replace"))


def test_categories_are_declared() -> None:
    declared = (OVERLAY / "profiles" / "categories").read_text().split()
    assert declared == sorted(declared)
    assert {package.parent.name for package in PACKAGES} <= set(declared)
