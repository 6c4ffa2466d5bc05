"""ELF files with every hardening there is, or without some of it, put together from the specification."""

from __future__ import annotations

import struct
from collections.abc import Sequence

BASE = 0x400000
BUILD_ID = bytes(range(20))
RELRO, STACK = 0x6474E552, 0x6474E551
READ_WRITE, EXECUTE = 6, 1


def _note(kind: int, body: bytes) -> bytes:
    return struct.pack("<III", 4, len(body), kind) + b"GNU\0" + body


def hardened(
    *,
    kind: int = 3,
    relro: bool = True,
    now: bool = True,
    stack: int | None = READ_WRITE,
    textrel: bool = False,
    cet: int = 3,
    calls: Sequence[str] = ("__printf_chk",),
    needed: Sequence[str] = (),
    interpreter: str = "",
    run_path: str = "",
) -> bytes:
    """A program or library; `kind` is e_type, `cet` the bits of IBT and SHSTK, `calls` what it imports."""
    strings = b"\0"

    def name(text: str) -> int:
        nonlocal strings
        strings += text.encode() + b"\0"
        return len(strings) - len(text) - 1

    symbols = bytes(24) + b"".join(struct.pack("<IBBHQQ", name(call), 0x12, 0, 0, 0, 0) for call in calls)
    tags = [(1, name(item)) for item in needed]
    tags += [(29, name(run_path))] if run_path else []
    tags += [(22, 0)] if textrel else []
    tags += [(30, 8)] if now else []
    notes = _note(5, struct.pack("<IIII", 0xC0000002, 4, cet, 0)) if cet else b""
    notes += _note(3, BUILD_ID)
    text = interpreter.encode() + b"\0" if interpreter else b""
    count = 3 + relro + (stack is not None) + bool(text)
    start = 64 + 56 * count
    table = 16 * (len(tags) + 2)
    at = {"dynamic": start, "strings": start + table}
    at["symbols"] = at["strings"] + len(strings) + -(at["strings"] + len(strings)) % 8
    at["notes"] = at["symbols"] + len(symbols)
    at["text"] = at["notes"] + len(notes)
    at["sections"] = at["text"] + len(text) + -(at["text"] + len(text)) % 8
    tags += [(5, BASE + at["strings"]), (0, 0)]
    headers = [(1, 5, 0, at["sections"]), (2, 6, start, table), (4, 4, at["notes"], len(notes))]
    headers += [(RELRO, 4, start, table)] if relro else []
    headers += [(STACK, stack, 0, 0)] if stack is not None else []
    headers += [(3, 4, at["text"], len(text))] if text else []
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", kind, 62, 1, 0, 64, at["sections"], 0, 64, 56, count, 64, 3, 0)
    whole = head + b"".join(
        struct.pack("<IIQQQQQQ", what, flags, offset, BASE + offset, BASE + offset, size, size, 8)
        for what, flags, offset, size in headers
    )
    whole += b"".join(struct.pack("<qQ", *tag) for tag in tags) + strings
    whole = whole.ljust(at["symbols"], b"\0") + symbols + notes + text
    whole = whole.ljust(at["sections"], b"\0") + bytes(64)
    whole += _section(11, at["symbols"], len(symbols), 2) + _section(3, at["strings"], len(strings), 0)
    return whole


def _section(kind: int, offset: int, size: int, link: int) -> bytes:
    return struct.pack("<IIQQQQIIQQ", 0, kind, 0, BASE + offset, offset, size, link, 0, 8, 24)
