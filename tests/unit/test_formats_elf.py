"""ELF files: what they ask for, and what is none."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from builder.formats.elf import DLOPEN_NOTE, Dlopen, read_elf

BASE = 0x400000


def elf(
    needed: list[str], *, interpreter: str = "", soname: str = "", runpath: str = "", note: object = None
) -> bytes:
    """A 64-bit ELF file with the dynamic section asked for, put together from the specification."""
    strings = b"\0"

    def name(text: str) -> int:
        nonlocal strings
        strings += text.encode() + b"\0"
        return len(strings) - len(text) - 1

    tags = [(1, name(item)) for item in needed]
    tags += [(14, name(soname))] if soname else []
    tags += [(29, name(runpath))] if runpath else []
    count = 2 + bool(interpreter) + (note is not None)
    start = 64 + 56 * count
    dynamic_size = 16 * (len(tags) + 2)
    tags += [(5, BASE + start + dynamic_size), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", *tag) for tag in tags)
    body = dynamic + strings
    headers = [(2, start, len(dynamic))]
    if interpreter:
        headers.append((3, start + len(body), len(interpreter) + 1))
        body += interpreter.encode() + b"\0"
    if note is not None:
        body += bytes(-(start + len(body)) % 4)
        text = json.dumps(note).encode() + b"\0"
        data = struct.pack("<III", 4, len(text), DLOPEN_NOTE) + b"FDO\0" + text + bytes(-len(text) % 4)
        headers.append((4, start + len(body), len(data)))
        body += data
    headers.insert(0, (1, 0, start + len(body)))
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0)
    table = b"".join(
        struct.pack("<IIQQQQQQ", kind, 4, offset, BASE + offset, BASE + offset, size, size, 8)
        for kind, offset, size in headers
    )
    return head + table + body


def test_reads_what_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    note = [{"feature": "f", "priority": "suggested", "soname": ["liba.so.2", "liba.so.1"]}]
    path.write_bytes(
        elf(
            ["libc.so.6", "libm.so.6"],
            interpreter="/lib64/ld.so",
            soname="x.so.1",
            runpath="/a:$ORIGIN/b",
            note=note,
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


@settings(deadline=None)
@given(st.data())
def test_damaged_files_do_no_harm(data: st.DataObject) -> None:
    from tempfile import NamedTemporaryFile

    whole = bytearray(elf(["libc.so.6"], interpreter="/lib/ld.so"))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(6, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with NamedTemporaryFile() as file:
        file.write(whole[: data.draw(st.integers(64, len(whole)))])
        file.flush()
        read_elf(Path(file.name))
