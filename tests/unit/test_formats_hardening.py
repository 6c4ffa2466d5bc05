"""Hardening and capabilities: what a binary has, and what each single omission shows as."""

from __future__ import annotations

import struct
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.formats.capabilities import describe
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


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((0x02000001, 1 << 13, 0, 0, 0), "cap_net_raw=ep"),
        ((0x02000000, 1 << 10 | 1 << 13, 0, 0, 0), "cap_net_bind_service,cap_net_raw=p"),
        ((0x02000001, 1 << 21, 1 << 13, 1 << 7, 0), "cap_net_raw=ei cap_sys_admin,cap_bpf=ep"),
    ],
)
def test_capabilities_read_as_getcap_prints_them(words: tuple[int, ...], text: str) -> None:
    assert describe(struct.pack("<5I", *words)) == text
    # version 3 has the root id of a user namespace behind
    assert describe(struct.pack("<6I", *words, 0)) == text


@given(st.binary(max_size=40))
def test_any_attribute_can_be_told(value: bytes) -> None:
    describe(value)
