"""Which newer release takes the place of a source that is gone: read from stanzas as Debian writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.packages.bump import Source, newest, read_stanza

STANZA = """\
Package: linux
Binary: linux-doc, linux-source
Version: 6.12.110-1
Checksums-Sha256:
 aa 1234 linux_6.12.110-1.dsc
 bb 151000000 linux_6.12.110.orig.tar.xz
 cc 1700000 linux_6.12.110-1.debian.tar.xz
Directory: pool/main/l/linux
"""


def sources(*names: str) -> list[Source]:
    return [Source(f"mirror://debian/pool/main/x/x/{name}", 1, "") for name in names]


def test_a_stanza_names_files_with_size_and_digest() -> None:
    found = read_stanza(STANZA)
    assert Source("mirror://debian/pool/main/l/linux/linux_6.12.110.orig.tar.xz", 151000000, "bb") in found
    assert len(found) == 3
    assert read_stanza("") == []


@pytest.mark.parametrize(
    ("version", "place", "there", "taken"),
    [
        (
            "6.12.107",
            "linux_6.12.107.orig.tar.xz",
            ["linux_6.12.94.orig.tar.xz", "linux_6.12.110.orig.tar.xz"],
            "6.12.110",
        ),
        (
            "3.5.7",
            "openssl_3.5.7.orig.tar.gz",
            ["openssl_3.5.9.orig.tar.gz", "openssl_3.5.10.orig.tar.gz"],
            "3.5.10",
        ),
        (
            "2026b",
            "tzdata_2026b.orig.tar.gz",
            ["tzdata_2026a.orig.tar.gz", "tzdata_2026c.orig.tar.gz"],
            "2026c",
        ),
        (
            "1.3.1",
            "zlib_1.3.dfsg+really1.3.1.orig.tar.gz",
            ["zlib_1.3.dfsg+really1.3.2.orig.tar.gz"],
            "1.3.2",
        ),
        ("1.19", "popt_1.19+dfsg.orig.tar.xz", ["popt_1.20+dfsg.orig.tar.xz"], "1.20"),
    ],
)
def test_the_newest_patch_release_is_taken(version: str, place: str, there: list[str], taken: str) -> None:
    found = newest(version, place, sources(*there))
    assert found is not None
    assert found[0] == taken
    assert found[1].uri.endswith(place.replace(version, taken))


@pytest.mark.parametrize(
    ("version", "place", "there"),
    [
        ("6.12.107", "linux_6.12.107.orig.tar.xz", ["linux_6.13.1.orig.tar.xz", "linux_7.0.0.orig.tar.xz"]),
        (
            "6.12.107",
            "linux_6.12.107.orig.tar.xz",
            ["linux_6.12.94.orig.tar.xz", "linux_6.12.107.orig.tar.xz"],
        ),
        (
            "6.12.107",
            "linux_6.12.107.orig.tar.xz",
            ["linux_6.12.110.orig.tar.xz.asc", "linux_6.12.110-1.dsc"],
        ),
        # where the file's name does not say the version as the ebuild does, nothing can be told
        ("10.0_p1", "openssh_10.0p1.orig.tar.gz", ["openssh_10.0p2.orig.tar.gz"]),
        ("2026b", "tzdata_2026b.orig.tar.gz", ["tzdata_2027a.orig.tar.gz"]),
    ],
)
def test_nothing_else_is(version: str, place: str, there: list[str]) -> None:
    assert newest(version, place, sources(*there)) is None


@given(st.lists(st.integers(0, 300), max_size=8), st.integers(0, 300))
def test_it_is_always_newer_and_of_the_same_series(found: list[int], pinned: int) -> None:
    index = sources(*(f"x_1.2.{number}.orig.tar.xz" for number in found))
    answer = newest(f"1.2.{pinned}", f"x_1.2.{pinned}.orig.tar.xz", index)
    newer = [number for number in found if number > pinned]
    assert (answer[0] if answer else None) == (f"1.2.{max(newer)}" if newer else None)
