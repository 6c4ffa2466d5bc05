"""The manifest's licence policy, held against nodes of a plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.build.licences import Policy, expand, read_groups, read_policy, refusals
from builder.errors import Code, ColvertError
from builder.manifest.load import LoadedManifest, load
from builder.packages.overlay import Overlay
from tests.unit.test_plan import node

GROUPS = {"COPYLEFT": ["GPL-2", "GPL-3+", "@LESSER"], "LESSER": ["LGPL-2.1+", "@COPYLEFT"], "FREE": ["MIT"]}
KNOWN = ["MIT", "BSD", "GPL-2", "GPL-3+", "LGPL-2.1+"]


def manifest(place: Path, *lines: str) -> LoadedManifest:
    path = place / "os.yaml"
    path.write_text("\n".join(["id: a", "name: A", "version: 1", "epoch: 1", "licences:", *lines]))
    return load(path)


def policy(place: Path, *lines: str) -> Policy:
    return read_policy(manifest(place, *lines), GROUPS, KNOWN)


def told(licence: str, held: Policy) -> list[tuple[str, int]]:
    names = tuple(word for word in licence.split() if word not in ("||", "(", ")"))
    one = node("a/b-1").model_copy(update={"licence": licence, "licences": names})
    found = refusals(one, held)
    assert all(error.code is Code.LICENCE_REFUSED and error.where for error in found)
    return [(error.what, error.where.line if error.where else 0) for error in found]


def test_without_a_policy_all_pass(tmp_path: Path) -> None:
    assert told("GPL-3+ BSD", policy(tmp_path, "  {}")) == []


def test_a_refused_licence_is_told_at_its_line(tmp_path: Path) -> None:
    held = policy(tmp_path, "  refuse:", "  - BSD", "  - GPL-3+")
    assert told("MIT GPL-3+ BSD", held) == [
        ("a/b-1: licence GPL-3+ is refused", 8),
        ("a/b-1: licence BSD is refused", 7),
    ]
    assert told("|| ( GPL-3+ MIT )", held) == []
    assert len(told("|| ( GPL-3+ BSD )", held)) == 2


def test_only_what_is_allowed_passes(tmp_path: Path) -> None:
    held = policy(tmp_path, "  allow: [MIT, BSD]", "  refuse: [BSD]")
    assert told("MIT", held) == []
    assert told("MIT GPL-2", held) == [("a/b-1: licence GPL-2 is not allowed", 6)]
    # who refuses has the last word
    assert told("BSD", held) == [("a/b-1: licence BSD is refused", 7)]


def test_a_group_is_all_that_is_in_it(tmp_path: Path) -> None:
    held = policy(tmp_path, "  refuse:", '  - "@COPYLEFT"')
    assert [line for _, line in told("LGPL-2.1+ GPL-2", held)] == [7, 7]
    assert told("MIT", held) == []
    assert expand("@LESSER", GROUPS) == {"LGPL-2.1+", "GPL-2", "GPL-3+"}
    assert expand("@NONE", GROUPS) == set()


@pytest.mark.parametrize("name", ["GPL3", "COPYLEFT", '"@COPY"'])
def test_a_name_that_nobody_knows_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ColvertError) as caught:
        policy(tmp_path, f"  refuse: [MIT, {name}]")
    assert caught.value.code is Code.MANIFEST_INVALID
    assert caught.value.where is not None and caught.value.where.line == 6
    assert "did you mean" in caught.value.what


@pytest.mark.parametrize("name", ["-GPL", "GPL 3", '""', '"@"', "a/b"])
def test_what_is_no_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ColvertError) as caught:
        manifest(tmp_path, f"  allow: [{name}]")
    assert caught.value.code is Code.MANIFEST_INVALID


def test_groups_of_all_overlays_add_up(tmp_path: Path) -> None:
    overlays = []
    for name, text in (
        ("one", "# ours\nFREE MIT BSD # both\n\n"),
        ("two", "FREE GPL-2\nEULA Oracle\n"),
        ("three", ""),
    ):
        (tmp_path / name / "profiles").mkdir(parents=True)
        if text:
            (tmp_path / name / "profiles/license_groups").write_text(text)
        overlays.append(Overlay(name, tmp_path / name))
    assert read_groups(overlays) == {"FREE": ["MIT", "BSD", "GPL-2"], "EULA": ["Oracle"]}
