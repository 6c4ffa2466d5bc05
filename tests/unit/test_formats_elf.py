"""ELF files: what they ask for, and what is none."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from builder.formats.elf import Dlopen, read_elf
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
    assert found.machine == 62


def test_scripts_and_short_files_are_none(tmp_path: Path) -> None:
    for content in (b"", b"#!/bin/sh\n", b"\x7fELF\x02\x01", b"\x7fELF\x01\x01" + bytes(100)):
        path = tmp_path / "x"
        path.write_bytes(content)
        assert read_elf(path) is None


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
