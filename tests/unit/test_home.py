"""The home: found for every kind of user, and an error with the way out where it cannot be used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from builder.errors import Code, ColvertError
from builder.sandbox import home
from builder.sandbox.home import open_home
from tests.build.places import open_place

PROJECT = Path(__file__).parents[2]
PROGRAM = """
import os, sys
sys.path.insert(0, sys.argv[1])
from builder.errors import ColvertError
from builder.sandbox import doctor, home
os.setgid(54321)
os.setuid(54321)
try:
    print(home._default())
except ColvertError as error:
    print(error)
print(doctor._subids().text)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another id")
@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, "the user 54321 has no home directory"),
        ({"HOME": ""}, "no home directory"),
        ({"HOME": "relative"}, "no home directory"),
        ({"HOME": "/h"}, "/h/.cache/colvert"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/c"}, "/c/colvert"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "relative"}, "/h/.cache/colvert"),
        ({"COLVERT_HOME": "/k"}, "/k"),
    ],
)
def test_a_user_without_a_name(variables: dict[str, str], told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(PROJECT)],
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told in done.stdout
    assert "54321" in done.stdout


def test_a_home_that_cannot_be_used_is_told_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ColvertError) as caught:
        open_home(tmp_path / "file/home")
    assert caught.value.code is Code.USAGE
    assert "COLVERT_HOME" in caught.value.hint
    assert "Not a directory" in caught.value.what


def test_slots_of_another_kind_are_told(tmp_path: Path) -> None:
    with open_place() as place:
        made = open_home(place)
        (made.slots / "000").unlink()
        (made.slots / "000").mkdir()
        (made.slots / "zzz").mkdir()
        with pytest.raises(ColvertError):
            home.set_slots(made, 1)
