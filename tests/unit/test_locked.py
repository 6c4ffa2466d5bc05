"""Locks: equal inputs give equal texts, what differs is named with both values, and damage is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from builder.build.lockfile import (
    Lock,
    LockedOverlay,
    LockedPython,
    LockedSdk,
    LockedSource,
    check_locked,
    differences,
    digest_files,
    lock_overlays,
    lock_python,
    read_lock,
    write_lock,
)
from builder.cli.main import cli
from builder.errors import Code, ColvertError, Location
from builder.manifest.model import GitOverlay
from builder.packages.overlay import Overlay as Repository
from tests.build.places import workplace

LOCK = Lock(
    overlays={"colvert": LockedOverlay(content="aa")},
    python=LockedPython(requirements="bb", packages={"click": "8"}),
    sdk=LockedSdk(id="cc", recipe="dd", packages={"gcc": "14", "zstd": "1.5.7"}),
    sources={"zlib.tar": LockedSource(size=1, blake2b="ee", sha512="ff")},
)


def refused(path: Path) -> ColvertError:
    with pytest.raises(ColvertError) as caught:
        read_lock(path)
    assert caught.value.code is Code.LOCK_INVALID
    assert caught.value.exit == 2
    return caught.value


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "colvert.lock"
    write_lock(LOCK, path)
    assert read_lock(path) == LOCK
    assert [item.name for item in tmp_path.iterdir()] == ["colvert.lock"]
    shuffled = Lock.model_validate(dict(reversed(LOCK.model_dump().items())))
    assert shuffled.text() == path.read_text()


@pytest.mark.parametrize("part", ["", "null", "[]", "{}", '{"format": "colvert-lock/9"}', "a: b\n", "\0"])
def test_a_foreign_file_is_refused(tmp_path: Path, part: str) -> None:
    (tmp_path / "lock").write_text(part)
    refused(tmp_path / "lock")


def test_a_missing_lock_is_refused(tmp_path: Path) -> None:
    assert "colvert lock" in refused(tmp_path / "lock").hint


@given(st.integers(0, len(LOCK.text()) - 2))
def test_no_truncated_lock_is_taken(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    path = tmp_path_factory.mktemp("lock") / "lock"
    path.write_text(LOCK.text()[:length])
    refused(path)


def test_a_fifo_is_no_lock(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lock")
    assert "FIFO" in refused(tmp_path / "lock").what


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text(json.dumps({**LOCK.model_dump(), "kernel": {}}))
    assert "kernel" in refused(path).what


def test_every_difference_is_told_with_both_values(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    write_lock(LOCK, path)
    check_locked(path, sdk=LOCK.sdk, sources=LOCK.sources)
    other = LOCK.sdk.model_copy(update={"packages": {"gcc": "15", "make": "4"}})
    with pytest.raises(ColvertError) as caught:
        check_locked(path, sdk=other, sources={})
    told = [caught.value.what, *(inner.what for inner in caught.value.others)]
    assert "sdk.packages.gcc: locked to 14, found 15" in told
    assert "sdk.packages.zstd: locked to 1.5.7, found nothing" in told
    assert "sdk.packages.make: locked to nothing, found 4" in told
    assert any(line.startswith("sources.zlib.tar: locked to {") for line in told)
    assert {inner.code for inner in caught.value.others} == {Code.LOCK_DIFFERS}


def test_the_password_of_an_overlay_is_not_locked(tmp_path: Path) -> None:
    url, commit = "https://user:s3cr3t@host.example/x.git", "0" * 40
    (tmp_path / "overlay").mkdir()
    found = lock_overlays([GitOverlay(git=url, commit=commit)], [Repository("mine", tmp_path / "overlay")])
    assert found["mine"].git == "https://host.example/x.git"
    # in a lock of an older Colvert it is, and is not told
    old = LOCK.model_dump()
    old["overlays"] = {"mine": {**found["mine"].model_dump(), "git": url}}
    (tmp_path / "lock").write_text(json.dumps(old))
    check_locked(tmp_path / "lock", overlays=found)
    with pytest.raises(ColvertError) as caught:
        check_locked(tmp_path / "lock", overlays={})
    assert "s3cr3t" not in str(caught.value)


def test_what_git_keeps_of_an_overlay_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    before = digest_files(tmp_path)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").touch()
    assert digest_files(tmp_path) == before


def test_a_fifo_in_an_overlay_is_refused_and_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ColvertError) as caught:
        digest_files(tmp_path)
    assert (caught.value.code, caught.value.where) == (Code.OVERLAY_INVALID, Location(str(tmp_path / "pipe")))


VALUES = st.recursive(
    st.none() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, VALUES)
def test_only_equals_have_no_differences(old: object, new: object) -> None:
    assert list(differences(old, old, "x")) == []
    assert bool(list(differences(old, new, "x"))) or _pruned(old) == _pruned(new)


def _pruned(value: object) -> object:
    """Nothing there and a None there are the same; so is a mapping of only these."""
    if isinstance(value, dict):
        return {key: inner for key, item in value.items() if (inner := _pruned(item)) is not None}
    return value


def test_a_checkout_counts_as_git_sees_it(tmp_path: Path) -> None:
    path = tmp_path / "overlay/file"
    path.parent.mkdir()
    path.write_text("a")
    path.chmod(0o644)
    before = digest_files(path.parent)
    path.chmod(0o600)
    path.parent.chmod(0o700)
    assert digest_files(path.parent) == before
    path.chmod(0o755)
    assert digest_files(path.parent) != before


def test_the_packages_that_run_here_are_those_of_the_list() -> None:
    assert "missing" not in lock_python().packages.values()


place = pytest.fixture(workplace)


def test_a_build_is_refused_before_anything_is_made(place: Path) -> None:
    write_lock(LOCK, place / "lock")
    words = ["plan", "--lock", str(place / "lock"), "--home", str(place / "home")]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    assert "overlays.colvert.content: locked to aa, found" in result.stderr
    assert not any((place / "home/sdk").glob("*/root"))
