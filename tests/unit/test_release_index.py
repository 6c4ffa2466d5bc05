"""The index: its one form, and all that is no index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import Code, ColvertError
from builder.updates.index import Index, parse_index
from builder.updates.parts import PART_NAMES, SIGNATURE
from tests.golden import check_golden
from tests.unit.releases import digest, fields, index

GOLDEN = Path(__file__).parent / "golden/update-index.json"
WHERE = Path("index.json")

versions = st.from_regex(r"\A[0-9][0-9a-z]{0,3}(\.[0-9a-z]{1,3}){0,2}\Z")
numbers = st.integers(0, 2**63 - 1)
words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=63)


def test_the_shape_is_the_contracts() -> None:
    check_golden(GOLDEN, json.dumps(json.loads(index().payload()), indent=1) + "\n")


@given(versions, versions, words, words, numbers, numbers)
def test_what_is_written_is_read(
    version: str, least: str, image: str, channel: str, created: int, expires: int
) -> None:
    made = index(
        version, from_at_least=least, image_id=image, channel=channel, created=created, expires=expires
    )
    assert parse_index(made.payload(), WHERE) == made
    assert parse_index(made.payload(), WHERE).payload() == made.payload()


def test_the_payload_does_not_depend_on_how_it_was_written() -> None:
    backwards = dict(reversed(fields().items()))
    assert parse_index(json.dumps(backwards, indent=3).encode(), WHERE).payload() == index().payload()


@pytest.mark.parametrize(
    "changed",
    [
        {"format": 2},
        {"version": "../1"},
        {"version": ""},
        {"root_hash": "0" * 63},
        {"root_hash": digest("x").upper()},
        {"architecture": "x86/64"},
        {"expires": -1},
        {"created": "now"},
        {"created": 1.5},
        {"more": 1},
        {"parts": {}},
    ],
)
def test_what_is_no_index_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ColvertError) as caught:
        parse_index(json.dumps(fields(**changed)).encode(), WHERE)
    assert caught.value.code is Code.RELEASE_INVALID


@given(st.data())
def test_no_piece_of_an_index_is_one(data: st.DataObject) -> None:
    payload = index().payload()
    end = data.draw(st.integers(0, len(payload) - 1))
    with pytest.raises(ColvertError):
        parse_index(payload[:end], WHERE)


def test_a_signature_is_a_part_that_may_be_left_out() -> None:
    made = Index.model_validate(fields(names=(*PART_NAMES, SIGNATURE)))
    assert [name for name, _ in made.parts.items()] == [*PART_NAMES, SIGNATURE]
    assert parse_index(made.payload(), WHERE).payload() == made.payload()
    assert b"signature" not in index().payload()
    nothing = fields()
    nothing["parts"][SIGNATURE] = None
    with pytest.raises(ColvertError, match="parts"):
        parse_index(json.dumps(nothing).encode(), WHERE)


def test_a_name_is_the_digest() -> None:
    changed = fields()
    changed["parts"]["usr"]["files"][0]["name"] = "usr.zst"
    with pytest.raises(ValueError):
        Index.model_validate(changed)


def test_a_part_has_one_whole_file() -> None:
    for files in ([], [1], [0, 0]):
        changed = fields()
        part = changed["parts"]["uki"]
        part["files"] = [part["files"][number] for number in files]
        with pytest.raises(ValueError):
            Index.model_validate(changed)
