"""Keys: what they are made of never changes by accident, since that would compile everything again."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import ClassVar

from hypothesis import given
from hypothesis import strategies as st

from builder.packages.distfile import Source
from builder.packages.package import Dependency, Package
from builder.packages.portage.config import Repository
from builder.pipeline.artifact import Artifact, Part
from builder.pipeline.index import digest, part_digests, survey
from builder.pipeline.key import (
    SPARSE_FROM,
    canonical,
    digest_content,
    digest_file,
    digest_tree,
    digest_value,
)
from builder.pipeline.stage import Stage, Work, inputs, key
from tests.golden import check_golden

GOLDEN = Path(__file__).parent / "golden" / "keys.txt"


@dataclass(frozen=True)
class Labelled(Stage):
    """A stage with one field."""

    name: ClassVar[str] = "labelled"
    shown: ClassVar[str] = ""

    text: str

    @property
    def label(self) -> str:
        return self.shown

    def run(self, work: Work) -> None:
        """Nothing: only its key is asked for."""


def artifact(letter: str) -> Artifact:
    return Artifact("made", letter * 64)


# one package, with something in every field
SAMPLE = Package(
    cpv="app-misc/x-1",
    slot="0",
    repository="colvert",
    ebuild="app-misc/x/x-1.ebuild",
    use=("ssl",),
    iuse=("ssl", "static-libs"),
    repositories=(Repository("colvert"), Repository("other", ("colvert",))),
    profile="default",
    recipe=artifact("1"),
    sources=(Source("x-1.tar", 123, "b2", "sha"),),
    dependencies=(
        Dependency(
            "sys-libs/zlib-1.3.1",
            Part(artifact("2"), "image", "3" * 64),
            Part(artifact("2"), "vdb", "4" * 64),
        ),
    ),
    fragments=artifact("5"),
)


def sample(root: Path) -> Path:
    """A tree with one of everything that counts."""
    (root / "sub").mkdir(parents=True)
    (root / "sub").chmod(0o750)
    (root / "a").write_bytes(b"a\n")
    (root / "a").chmod(0o644)
    (root / "tool").write_bytes(b"#!/bin/sh\n")
    (root / "tool").chmod(0o755)
    (root / "sub/link").symlink_to("../a")
    with (root / "sparse").open("wb") as stream:
        stream.truncate(SPARSE_FROM)
        stream.seek(1 << 20)
        stream.write(b"data")
    (root / "sparse").chmod(0o600)
    return root


def test_keys_are_the_accepted_ones(tmp_path: Path) -> None:
    root = sample(tmp_path / "tree")
    items = survey(root)
    lines = {
        "value": digest_value({"b": [1, "ä", None], "a": True}),
        "tree": digest_tree(root),
        "index": digest(items),
        **{f"part {name}": found for name, found in part_digests(items).items()},
        "stage": key(SAMPLE, code="c0de", sdk="5d"),
    }
    check_golden(GOLDEN, "".join(f"{name} {digest}\n" for name, digest in lines.items()))


def test_a_label_is_no_part_of_a_key() -> None:
    one, other = (Labelled("a") for _ in range(2))
    Labelled.shown = "x 1"
    first = key(one, code="c", sdk="s")
    Labelled.shown = "y 2"
    assert other.label != "x 1"
    assert key(other, code="c", sdk="s") == first


def test_version_and_inputs_make_the_key() -> None:
    """The version of a stage is the digest of its code."""
    keys = {key(Labelled(text), code=code, sdk=sdk) for text, code, sdk in product("ab", "12", "xy")}
    assert len(keys) == 8


def test_a_key_is_a_digest_of_what_is_told_of_it() -> None:
    """`colvert explain` shows all that a key is made of, and nothing else."""
    first = inputs(SAMPLE, code="c0de", sdk="5d")
    assert first["code"] == "c0de" and first["sdk"] == "5d"
    assert {name.partition(".")[0] for name in first} - {"code", "sdk"} == {
        field.name for field in fields(SAMPLE)
    }
    for field in fields(SAMPLE):
        other = replace(SAMPLE, **{field.name: "changed"})  # type: ignore[arg-type]
        assert inputs(other, code="c0de", sdk="5d") != first, field.name


def test_owners_and_times_do_not_count_but_modes_do(tmp_path: Path) -> None:
    root = sample(tmp_path / "tree")
    before = digest_tree(root)
    os.utime(root / "a", (1, 1))
    assert digest_tree(root) == before
    (root / "a").chmod(0o600)
    assert digest_tree(root) != before


def test_holes_and_zeros_are_the_same(tmp_path: Path) -> None:
    size = SPARSE_FROM + 100
    with (tmp_path / "hole").open("wb") as stream:
        stream.truncate(size)
    (tmp_path / "zeros").write_bytes(bytes(size))
    assert digest_content(tmp_path / "hole", size) == digest_content(tmp_path / "zeros", size)
    assert digest_content(tmp_path / "hole", size) != digest_file(tmp_path / "hole")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(json_values, json_values)
def test_equal_values_and_no_others_have_equal_digests(one: object, other: object) -> None:
    same = canonical(one) == canonical(other)  # type: ignore[arg-type]
    assert (digest_value(one) == digest_value(other)) == same  # type: ignore[arg-type]


def test_a_large_file_with_holes_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    with path.open("wb") as stream:
        stream.truncate(SPARSE_FROM + 12345)
        for at in (5, 3 << 20, (9 << 20) - 7, SPARSE_FROM + 12000):
            stream.seek(at)
            stream.write(b"data" * 30)
    assert digest_file(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    with path.open("ab") as stream:
        stream.truncate(SPARSE_FROM + (4 << 20))
    assert digest_file(path) == hashlib.sha256(path.read_bytes()).hexdigest()
