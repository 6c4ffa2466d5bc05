"""Manifests: a renewed one has a line for each source asked for, and every other line of before."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.build.digest import find_package
from builder.errors import Code, ColvertError
from builder.manifest.model import GitOverlay
from builder.packages.fetch import distfiles
from builder.packages.manifest_file import read_lines, renew, sources_in
from builder.packages.overlay import Overlay

OLD = b"""\
AUX a.patch 3 BLAKE2B 00 SHA512 11
DIST b.tar 1 BLAKE2B aa SHA256 bb SHA512 cc
DIST d.tar 2 BLAKE2B aa SHA512 cc
EBUILD x-1.ebuild 3 BLAKE2B 00 SHA512 11
MISC metadata.xml 3 BLAKE2B 00 SHA512 11
"""


def line(name: str, size: int = 1, blake2b: str = "aa", sha512: str = "cc") -> str:
    return f"DIST {name} {size} BLAKE2B {blake2b} SHA512 {sha512}"


@pytest.mark.parametrize(
    ("fresh", "wanted"),
    [
        ({}, OLD),
        # the same file, with a hash more: the line stays
        ({"b.tar": line("b.tar")}, OLD),
        ({"d.tar": line("d.tar", 9)}, OLD.replace(b"d.tar 2", b"d.tar 9")),
        ({"c.tar": line("c.tar")}, OLD.replace(b"DIST d", line("c.tar").encode() + b"\nDIST d")),
        ({"e.tar": line("e.tar")}, OLD.replace(b"EBUILD", line("e.tar").encode() + b"\nEBUILD")),
        ({"a.tar": line("a.tar")}, OLD.replace(b"DIST b", line("a.tar").encode() + b"\nDIST b")),
    ],
)
def test_a_line_is_renewed_where_it_stands(fresh: dict[str, str], wanted: bytes) -> None:
    assert renew(OLD, fresh) == wanted


def test_a_new_manifest_is_sorted() -> None:
    assert renew(b"", {"b": line("b"), "a": line("a")}) == f"{line('a')}\n{line('b')}\n".encode()


def test_a_source_that_is_replaced_takes_its_line_along() -> None:
    assert b"b.tar" not in renew(OLD, {"b2.tar": line("b2.tar")}, gone="b.tar")


NAMES = st.sampled_from(["a.tar", "b.tar", "c.tar", "ü.tar", "x-1.ebuild"])
LINES = st.one_of(
    st.builds(lambda name, size: line(name, size).encode(), NAMES, st.integers(0, 3)),
    st.builds(
        lambda kind, name: f"{kind} {name} 1 BLAKE2B 0".encode(), st.sampled_from(["AUX", "EBUILD"]), NAMES
    ),
    st.binary(max_size=12).map(lambda text: text.replace(b"\n", b" ")),
)


@given(st.lists(LINES, max_size=8), st.dictionaries(NAMES, st.integers(0, 3), max_size=4), st.booleans())
def test_no_line_is_lost(before: list[bytes], sizes: dict[str, int], ended: bool) -> None:
    old = b"\n".join(before) + (b"\n" if ended and before else b"")
    fresh = {name: line(name, size) for name, size in sizes.items()}
    new = renew(old, fresh)

    def others(data: bytes) -> list[bytes]:
        """The lines that are about something else, in their order."""
        lines = [one for one in data.split(b"\n") if one]
        about = [one.split()[1:2] if one.split()[:1] == [b"DIST"] else [] for one in lines]
        return [
            one
            for one, names in zip(lines, about, strict=True)
            if not names or names[0].decode(errors="replace") not in fresh
        ]

    assert others(new) == others(old)
    assert set(fresh) <= sources_in(new)
    for text in fresh.values():
        assert new.split(b"\n").count(text.encode()) == 1
    assert renew(new, fresh) == new


def session(*overlays: tuple[Overlay, Any]) -> Any:
    """What of a session says where packages are."""
    manifest = SimpleNamespace(overlays=tuple(entry for _, entry in overlays))
    settings = SimpleNamespace(overlays=tuple(overlay for overlay, _ in overlays))
    return SimpleNamespace(loaded=SimpleNamespace(manifest=manifest), settings=settings)


def ebuild(root: Path, *names: str) -> Overlay:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{name}.ebuild").touch()
    return Overlay(root.name, root)


def test_the_last_overlay_that_is_a_directory_is_written(tmp_path: Path) -> None:
    base = ebuild(tmp_path / "base", "app-misc/dd/dd-1", "app-misc/x-y/x-y-1.2-r1")
    mine = ebuild(tmp_path / "mine", "app-misc/dd/dd-2")
    git = GitOverlay(git="https://host.example/x.git", commit="0" * 40)
    open_ = session((base, None), (mine, None))
    assert find_package(open_, "app-misc/dd").overlay == mine
    found = find_package(open_, "app-misc/dd-1")
    assert (found.overlay, found.package, found.version) == (base, "app-misc/dd", "1")
    found = find_package(open_, "app-misc/x-y-1.2-r1")
    assert (found.package, found.version) == ("app-misc/x-y", "1.2-r1")
    assert find_package(session((base, None), (mine, git)), "app-misc/dd").overlay == base
    with pytest.raises(ColvertError) as caught:
        find_package(session((base, None), (mine, git)), "app-misc/dd-2")
    assert caught.value.code is Code.USAGE


@pytest.mark.parametrize(
    "name", ["dd", "app-misc/d", "app-misc/dd-3", "../mine/app-misc", "app-misc/..", "", "a/b/c"]
)
def test_a_package_that_is_not_there(tmp_path: Path, name: str) -> None:
    mine = ebuild(tmp_path / "mine", "app-misc/dd/dd-2")
    with pytest.raises(ColvertError) as caught:
        find_package(session((mine, None)), name)
    assert caught.value.code is Code.UNKNOWN_PACKAGE


def test_a_fifo_is_no_manifest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "Manifest")
    for read in (read_lines, lambda path: distfiles(path, {"x": ()})):
        with pytest.raises(ColvertError) as caught:
            read(tmp_path / "Manifest")
        assert caught.value.code is Code.OVERLAY_INVALID
        assert caught.value.where and caught.value.where.file == str(tmp_path / "Manifest")


@pytest.mark.parametrize("name", ["../x", "a/b", ".locks", "..", "", "a\nb", "x" * 250, "a b"])
def test_a_source_whose_name_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "Manifest").write_bytes(OLD)
    with pytest.raises(ColvertError) as caught:
        distfiles(tmp_path / "Manifest", {name: ("http://host.example/x",)})
    assert caught.value.code is Code.OVERLAY_INVALID
