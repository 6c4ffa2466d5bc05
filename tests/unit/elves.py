"""ELF files with every hardening there is, or without some of it, put together from the specification."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence

from builder.formats.elf import DLOPEN_NOTE

BASE = 0x400000
BUILD_ID = bytes(range(20))
RELRO, STACK, INTERPRETER = 0x6474E552, 0x6474E551, 3
READ_WRITE, EXECUTE = 6, 1


def _note(name: bytes, kind: int, body: bytes) -> bytes:
    return struct.pack("<III", len(name), len(body), kind) + name + body + bytes(-len(body) % 4)


class _Strings:
    """A string table that is being filled."""

    def __init__(self) -> None:
        self.data = b"\0"

    def add(self, text: str) -> int:
        """Where it begins."""
        self.data += text.encode() + b"\0"
        return len(self.data) - len(text) - 1


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
    soname: str = "",
    run_path: str = "",
    dlopen: object = None,
) -> bytes:
    """A program or library; `kind` is e_type, `cet` the bits of IBT and SHSTK, `calls` what it imports."""
    strings = _Strings()
    symbols = bytes(24) + b"".join(
        struct.pack("<IBBHQQ", strings.add(call), 0x12, 0, 0, 0, 0) for call in calls
    )
    tags = [(1, strings.add(item)) for item in needed]
    tags += [(14, strings.add(soname))] if soname else []
    tags += [(29, strings.add(run_path))] if run_path else []
    tags += [(22, 0)] if textrel else []
    tags += [(30, 8)] if now else []
    notes = _note(b"GNU\0", 5, struct.pack("<IIII", 0xC0000002, 4, cet, 0)) if cet else b""
    notes += _note(b"GNU\0", 3, BUILD_ID)
    if dlopen is not None:
        text = dlopen if isinstance(dlopen, bytes) else json.dumps(dlopen).encode()
        notes += _note(b"FDO\0", DLOPEN_NOTE, text + b"\0")
    more = [(RELRO, 4, "dynamic")] if relro else []
    more += [(STACK, stack, "")] if stack is not None else []
    parts = {"strings": strings.data, "symbols": symbols, "notes": notes}
    if interpreter:
        more.append((INTERPRETER, 4, "text"))
        parts["text"] = interpreter.encode() + b"\0"
    return _laid_out(kind, tags, parts, more)


def _laid_out(
    kind: int, tags: list[tuple[int, int]], parts: dict[str, bytes], more: list[tuple[int, int, str]]
) -> bytes:
    """The file: header, segments (type, flags, part), dynamic section, the other parts, two sections."""
    segments = [(2, 6, "dynamic"), (4, 4, "notes"), *more]
    count = len(segments) + 1
    start = 64 + 56 * count
    parts = {"dynamic": bytes(16 * (len(tags) + 2)), **parts}
    # a segment of no part begins at 0
    body, at = b"", {"": -start}
    for name, part in parts.items():
        at[name] = len(body)
        body += part + bytes(-len(part) % 8)
    tags = [*tags, (5, BASE + start + at["strings"]), (0, 0)]
    body = b"".join(struct.pack("<qQ", *tag) for tag in tags) + body[len(parts["dynamic"]) :]
    sections = start + len(body)
    headers = [(1, 5, 0, sections)]
    headers += [(what, flags, start + at[name], len(parts.get(name, b""))) for what, flags, name in segments]
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", kind, 62, 1, 0, 64, sections, 0, 64, 56, count, 64, 3, 0)
    table = b"".join(
        struct.pack("<IIQQQQQQ", what, flags, offset, BASE + offset, BASE + offset, size, size, 8)
        for what, flags, offset, size in headers
    )
    listed = _section(11, start + at["symbols"], len(parts["symbols"]), 2)
    listed += _section(3, start + at["strings"], len(parts["strings"]), 0)
    return head + table + body + bytes(64) + listed


def _section(kind: int, offset: int, size: int, link: int) -> bytes:
    return struct.pack("<IIQQQQIIQQ", 0, kind, 0, BASE + offset, offset, size, link, 0, 8, 24)
