"""Keys: what they are made of never changes by accident, since that would compile everything again."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from builder.pipeline.key import (
    SPARSE_FROM,
    canonical,
    digest_content,
    digest_file,
    digest_tree,
    digest_value,
)
from builder.pipeline.stage import Stage
from tests.golden import check_golden

GOLDEN = Path(__file__).parent / "golden" / "keys.txt"


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
    inputs = {"ebuild": "00ff", "use": "-static-libs ssl", "dependency:sys-libs/zlib-1.3.1": "ab"}
    stage = Stage("package", "app-misc/x-1", 1, inputs, lambda work: None)
    lines = {
        "value": digest_value({"b": [1, "ä", None], "a": True}),
        "tree": digest_tree(sample(tmp_path / "tree")),
        "stage": stage.key,
    }
    check_golden(GOLDEN, "".join(f"{name} {digest}\n" for name, digest in lines.items()))


def test_a_label_is_no_part_of_a_key() -> None:
    one, other = (Stage("tree", label, 1, {"a": "b"}, lambda work: None) for label in ("x 1", "y 2"))
    assert one.key == other.key


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
