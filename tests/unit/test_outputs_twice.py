"""What differs between two builds: every kind of difference is found, and told where it is."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.pipeline.entry import DATA, Entry, Record
from builder.pipeline.index import digest, part_digests, survey
from builder.rebuild.outputs import compare, compare_trees, first_difference, summary
from builder.rebuild.variation import list_backwards


def pair(place: Path, old: bytes, new: bytes) -> tuple[Path, Path]:
    (place / "old").write_bytes(old)
    (place / "new").write_bytes(new)
    return place / "old", place / "new"


@given(st.binary(min_size=1, max_size=50), st.data())
def test_the_first_difference_is_where_it_is(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, draw: st.DataObject
) -> None:
    place = draw.draw(st.integers(0, len(data) - 1))
    changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    assert first_difference(*pair(tmp_path_factory.mktemp("x"), data, changed)) == place
    assert first_difference(*pair(tmp_path_factory.mktemp("x"), data, data[:place])) == place


def test_a_difference_behind_a_hole_is_found(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for path, byte in ((old, b"a"), (new, b"b")):
        with path.open("wb") as stream:
            stream.seek(3 << 30)
            stream.write(byte)
    assert first_difference(old, new) == 3 << 30


def test_a_tar_says_which_member(tmp_path: Path) -> None:
    for name, text in (("old", "one"), ("new", "two")):
        (tmp_path / "inner").write_text(text)
        os.utime(tmp_path / "inner", (0, 0))
        (tmp_path / "same").write_text("same")
        os.utime(tmp_path / "same", (0, 0))
        with tarfile.open(tmp_path / name, "w") as archive:
            archive.add(tmp_path / "same", "same")
            archive.add(tmp_path / "inner", "folder/inner")
    assert summary(tmp_path / "old", tmp_path / "new").endswith("in member folder/inner")


def test_every_kind_of_difference_is_told(tmp_path: Path) -> None:
    for side, text in (("old", "a"), ("new", "b")):
        root = tmp_path / side
        root.mkdir()
        (root / "same").write_text("same")
        (root / "text").write_text(f"x{text}")
        (root / f"only-{side}").touch()
        (root / "link").symlink_to(text)
        (root / "mode").touch(mode=0o600)
        (root / "mode").chmod(0o600 if side == "old" else 0o644)
    (tmp_path / "old/kind").mkdir()
    (tmp_path / "new/kind").touch()
    assert compare_trees(tmp_path / "old", tmp_path / "new") == [
        "kind: different file types",
        "link: link targets a and b",
        "mode: mode 0600 and 0644",
        "only-new: only in the second",
        "only-old: only in the first",
        "text: differ from byte 1",
    ]


def entry(place: Path, stage: str, text: str, **inputs: str) -> Entry:
    out = place / DATA
    out.mkdir(parents=True)
    (out / "file").write_text(text)
    fields = {"key": f"{place.name}", "stage": stage, "label": "x", "size": 1, "seconds": 0, "created": 0}
    digests = {"digest": digest(survey(out)), "parts": part_digests(survey(out))}
    return Entry(place, Record(**fields, inputs=inputs, **digests))  # type: ignore[arg-type]


def test_a_difference_that_came_with_the_inputs_says_so(tmp_path: Path) -> None:
    first = [entry(tmp_path / "a", "tree", "1", epoch="1"), entry(tmp_path / "b", "usr", "1", tree="1")]
    second = [
        entry(tmp_path / "c", "tree", "2", epoch="1"),
        entry(tmp_path / "d", "usr", "2", tree="2"),
        entry(tmp_path / "e", "more", "2"),
        entry(tmp_path / "f", "taken", "2"),
    ]
    found = {output.stage: output for output in compare(first, second, {"f"})}
    assert {stage: output.same for stage, output in found.items()} == dict.fromkeys(
        ("tree", "usr", "more"), False
    )
    assert found["tree"].inherited == ()
    assert found["usr"].inherited == ("tree",)
    assert found["more"].differences == ("only in the second build",)


def test_listing_backwards_is_the_other_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        (tmp_path / str(number)).touch()
    before = os.listdir(tmp_path), [item.name for item in os.scandir(tmp_path)]
    monkeypatch.setattr(os, "listdir", os.listdir)
    monkeypatch.setattr(os, "scandir", os.scandir)
    list_backwards()
    assert os.listdir(tmp_path) == before[0][::-1]
    with os.scandir(tmp_path) as entries:
        assert [item.name for item in entries] == before[1][::-1]
    assert [path.name for path in tmp_path.iterdir()] == before[0][::-1]
