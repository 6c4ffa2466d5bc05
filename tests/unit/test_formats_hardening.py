"""Hardening: what a binary has, and what each single omission shows as."""

from __future__ import annotations

from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.formats.hardening import Lack, read_hardening
from tests.unit.elves import BUILD_ID, EXECUTE, READ_WRITE, hardened


def read(tmp_path: Path, content: bytes) -> Any:
    path = tmp_path / "x"
    path.write_bytes(content)
    return read_hardening(path)


def test_a_hardened_program_lacks_nothing(tmp_path: Path) -> None:
    found = read(tmp_path, hardened(interpreter="/lib64/ld-linux-x86-64.so.2", needed=["libc.so.6"]))
    assert found.lacks == ()
    assert found.program
    assert found.dynamic
    assert found.build_id == BUILD_ID.hex()


@pytest.mark.parametrize(
    ("without", "lack"),
    [
        ({"kind": 2}, Lack.PIE),
        ({"relro": False}, Lack.RELRO),
        ({"now": False}, Lack.NOW),
        ({"stack": READ_WRITE | EXECUTE}, Lack.STACK),
        ({"stack": None}, Lack.STACK),
        ({"textrel": True}, Lack.TEXT),
        ({"cet": 1}, Lack.CET),
        ({"cet": 0}, Lack.CET),
        ({"calls": ["puts", "sprintf"]}, Lack.FORTIFY),
    ],
)
def test_each_omission_shows_alone(tmp_path: Path, without: dict[str, Any], lack: Lack) -> None:
    assert read(tmp_path, hardened(**without)).lacks == (lack,)


def test_objects_and_scripts_are_not_judged(tmp_path: Path) -> None:
    assert read(tmp_path, hardened(kind=1)) is None
    assert read(tmp_path, b"#!/bin/sh\n") is None


@given(st.data())
def test_damaged_files_do_no_harm(data: st.DataObject) -> None:
    whole = bytearray(hardened(interpreter="/lib/ld.so", needed=["libc.so.6"]))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(6, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with NamedTemporaryFile() as file:
        file.write(whole[: data.draw(st.integers(64, len(whole)))])
        file.flush()
        read_hardening(Path(file.name))
