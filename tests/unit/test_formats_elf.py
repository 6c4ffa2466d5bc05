"""ELF files: what they ask for, and what is none."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.formats.elf import Dlopen, is_elf, read_elf
from builder.formats.hardening import read_hardening
from tests.unit.elves import hardened


def test_reads_what_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    note = [{"feature": "f", "priority": "suggested", "soname": ["liba.so.2", "liba.so.1"]}]
    path.write_bytes(
        hardened(
            needed=["libc.so.6", "libm.so.6"],
            interpreter="/lib64/ld.so",
            soname="x.so.1",
            run_path="/a:$ORIGIN/b",
            dlopen=note,
        )
    )
    found = read_elf(path)
    assert found is not None
    assert found.needed == ("libc.so.6", "libm.so.6")
    assert found.interpreter == "/lib64/ld.so"
    assert found.soname == "x.so.1"
    assert found.search == ("/a", "$ORIGIN/b")
    assert found.dlopen == (Dlopen(("liba.so.2", "liba.so.1"), "suggested"),)


def test_scripts_and_short_files_are_none(tmp_path: Path) -> None:
    for content in (b"", b"#!/bin/sh\n", b"\x7fELF\x02\x01", b"\x7fELF\x01\x01" + bytes(100)):
        path = tmp_path / "x"
        path.write_bytes(content)
        assert read_elf(path) is None


@pytest.mark.parametrize(
    "note",
    [
        [{"feature": "f", "priority": "suggested"}],
        [{"soname": "liba.so.2"}],
        [{"soname": []}],
        {"soname": ["liba.so.2"]},
        b"no JSON",
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_malformed_dlopen_note_hides_nothing_else(tmp_path: Path, note: object) -> None:
    path = tmp_path / "x"
    path.write_bytes(hardened(needed=["libc.so.6"], dlopen=note))
    found = read_elf(path)
    assert found is not None
    assert found.needed == ("libc.so.6",)
    assert found.dlopen == (Dlopen((), "malformed"),)


def test_every_cut_file_is_read_or_none(tmp_path: Path) -> None:
    whole = hardened(needed=["libc.so.6"], interpreter="/lib/ld.so", dlopen=[{"soname": ["liba.so"]}])
    path = tmp_path / "x"
    for size in range(0, len(whole), 5):
        path.write_bytes(whole[:size])
        read_elf(path)
        read_hardening(path)
    assert is_elf(path)


@pytest.mark.parametrize("at", [4, 5])
def test_other_classes_and_byte_orders_are_none(tmp_path: Path, at: int) -> None:
    whole = bytearray(hardened(needed=["libc.so.6"]))
    whole[at] = 1 if at == 4 else 2
    path = tmp_path / "x"
    path.write_bytes(whole)
    assert read_elf(path) is None
    assert read_hardening(path) is None
    assert is_elf(path)


def repeated(kind: int, size: int) -> bytes:
    """65535 program headers, each the same one over the whole rest of the file."""
    count = 0xFFFE
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 64, 0, 64, 0, count, 64, 0, 0)
    header = struct.pack("<IIQQQQQQ", kind, 4, 128, 0, 0, size, size, 8)
    # no tag of a dynamic section here is the last one
    return head + header.ljust(64, b"\1") + b"\1" * size


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
@pytest.mark.parametrize("read", [read_elf, read_hardening])
def test_headers_that_lead_around_end(tmp_path: Path, kind: int, read: object) -> None:
    assert callable(read)
    path = tmp_path / "x"
    path.write_bytes(repeated(kind, 4 << 20))
    began = time.process_time()
    read(path)
    assert time.process_time() - began < 10


@given(st.data())
def test_damaged_files_do_no_harm(data: st.DataObject) -> None:
    from tempfile import NamedTemporaryFile

    whole = bytearray(hardened(needed=["libc.so.6"], interpreter="/lib/ld.so"))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(6, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with NamedTemporaryFile() as file:
        file.write(whole[: data.draw(st.integers(64, len(whole)))])
        file.flush()
        read_elf(Path(file.name))
