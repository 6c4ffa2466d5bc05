"""The record against signing an older version again: a damaged one is refused, however Python was started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from builder.errors import Code, ColvertError, Location
from builder.signing.policy import Signed, State, read_state
from builder.signing.request import Item, Kind, Request
from tests.conftest import ROOT

DIGEST = "ab" * 32
GOOD = {"colvert": {"version": "261122.235950", "items": {"uki": DIGEST, "usr-root-hash": DIGEST}}}
DAMAGED = {
    "not JSON": '{"colvert": ',
    "empty": "",
    "a list": "[]",
    "a version that is a number": json.dumps({"colvert": {"version": 9, "items": {}}}),
    "a version that compares with nothing": json.dumps({"colvert": {"version": "v~1", "items": {}}}),
    "no version": json.dumps({"colvert": {"items": {}}}),
    "no items": json.dumps({"colvert": {"version": "1"}}),
    "items that are a list": json.dumps({"colvert": {"version": "1", "items": []}}),
    "a digest that is none": json.dumps({"colvert": {"version": "1", "items": {"uki": 1}}}),
    "a short digest": json.dumps({"colvert": {"version": "1", "items": {"uki": "ab"}}}),
    "a key more": json.dumps({"colvert": {"version": "1", "items": {}, "x": 1}}),
    "null": "null",
    "deep": "[" * 100_000,
}
READ = """
import sys
from pathlib import Path
from builder.errors import ColvertError
from builder.signing.policy import read_state
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        read_state(path)
        print(path.name, "taken")
    except ColvertError as error:
        print(path.name, error.code)
"""


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "signed.json"
    assert read_state(path).images == {}
    item = Item(name="uki", kind=Kind.AUTHENTICODE, digest=DIGEST, key="db", context="x")
    request = Request(image_id="colvert", version="2", created=1, items=[item])
    State(path).remember(request, [item])
    assert read_state(path).images == {"colvert": Signed(version="2", items={"uki": DIGEST})}
    assert read_state(path).misfit(request, [item]) == []
    older = request.model_copy(update={"version": "1"})
    assert read_state(path).misfit(older, [item])
    path.write_text(json.dumps(GOOD))
    assert read_state(path).images["colvert"].version == "261122.235950"


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_record_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "signed.json"
    path.write_text(DAMAGED[kind])
    with pytest.raises(ColvertError) as caught:
        read_state(path)
    assert caught.value.code is Code.POLICY
    assert caught.value.where == Location(str(path))


def test_nothing_depends_on_assertions(tmp_path: Path) -> None:
    for number, text in enumerate([*DAMAGED.values(), json.dumps(GOOD)]):
        (tmp_path / f"{number:02}").write_text(text)
    words = [sys.executable, "-O", "-c", READ, str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    told = [line.split()[1] for line in done.stdout.splitlines()]
    assert told == [*[Code.POLICY.value] * len(DAMAGED), "taken"]


def test_a_record_that_cannot_be_read_is_not_taken_for_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ColvertError) as caught:
            read_state(path)
        assert caught.value.code is Code.POLICY
