"""Formats: what of the usual hardening an ELF file has, read from its headers and symbols.

Program headers and dynamic tags as in the System V ABI and its x86-64 supplement (for the note
that says IBT and SHSTK); GNU_STACK and GNU_RELRO are described in ld(1) under `-z`.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from builder.formats.elf import PT_DYNAMIC, PT_INTERP, dynamic_tags, notes, read_with, segments_of, string_at

ET_EXEC, ET_DYN = 2, 3
PT_GNU_STACK, PT_GNU_RELRO = 0x6474E551, 0x6474E552
PF_X = 1
DT_TEXTREL, DT_BIND_NOW, DT_FLAGS, DT_FLAGS_1 = 22, 24, 30, 0x6FFFFFFB
DF_TEXTREL, DF_BIND_NOW, DF_1_NOW = 4, 8, 1
NT_GNU_PROPERTY = 5
X86_FEATURE_1_AND, IBT, SHSTK = 0xC0000002, 1, 2
SHT_DYNSYM = 11
BUILD_ID = 3
# With _FORTIFY_SOURCE from 2 on, glibc's headers turn every call of these into one of __NAME_chk:
# they have a variable argument list, which no compiler can prove harmless.
CHECKED = ("printf", "fprintf", "dprintf", "vprintf", "vfprintf", "vdprintf", "sprintf", "vsprintf")


class Lack(StrEnum):
    """What a binary may lack."""

    PIE = "pie"
    RELRO = "relro"
    NOW = "now"
    STACK = "noexecstack"
    TEXT = "no-text-relocations"
    CET = "cet"
    FORTIFY = "fortify"
    # what only who knows the tree can tell
    PATH = "no-run-path"
    READABLE = "readable"


@dataclass(frozen=True)
class Hardening:
    """One program or library: what it lacks, and the build id that its debug symbols have too."""

    program: bool
    dynamic: bool
    lacks: tuple[Lack, ...]
    build_id: str


def read_hardening(path: Path) -> Hardening | None:
    """Read a program or a shared library; None for every other file, objects and modules included."""
    return read_with(path, _parse)


def _parse(data: mmap.mmap) -> Hardening | None:
    kind = struct.unpack_from("<H", data, 16)[0]
    if kind not in (ET_EXEC, ET_DYN):
        return None
    segments = segments_of(data)
    kinds = {segment.type for segment in segments}
    tags = dynamic_tags(data, segments)
    values = dict(tags)
    flags, flags_1 = values.get(DT_FLAGS, 0), values.get(DT_FLAGS_1, 0)
    stack = [segment.flags for segment in segments if segment.type == PT_GNU_STACK]
    found = {name: body for kind, name, body in notes(data, segments) if kind == BUILD_ID}
    good = {
        Lack.PIE: kind == ET_DYN,
        Lack.RELRO: PT_GNU_RELRO in kinds,
        Lack.NOW: DT_BIND_NOW in values or bool(flags & DF_BIND_NOW) or bool(flags_1 & DF_1_NOW),
        # without the header the kernel makes the stack executable
        Lack.STACK: bool(stack) and not any(flags & PF_X for flags in stack),
        Lack.TEXT: DT_TEXTREL not in values and not flags & DF_TEXTREL,
        Lack.CET: _protects(data) == IBT | SHSTK,
        Lack.FORTIFY: not _asked_for(data) & set(CHECKED),
    }
    return Hardening(
        program=PT_INTERP in kinds,
        dynamic=PT_DYNAMIC in kinds,
        lacks=tuple(lack for lack, has in good.items() if not has),
        build_id=found.get(b"GNU", b"").hex(),
    )


def _protects(data: mmap.mmap) -> int:
    """The x86 features (IBT, SHSTK) that all of the file's code was compiled for."""
    for kind, name, body in notes(data, segments_of(data)):
        position = 0
        while (kind, name) == (NT_GNU_PROPERTY, b"GNU") and position + 8 <= len(body):
            what, size = struct.unpack_from("<II", body, position)
            if what == X86_FEATURE_1_AND and size >= 4:
                return int(struct.unpack_from("<I", body, position + 8)[0]) & (IBT | SHSTK)
            position += 8 + (size + 7 & ~7)
    return 0


def _asked_for(data: mmap.mmap) -> set[str]:
    """The names that a file wants from its libraries."""
    offset = struct.unpack_from("<Q", data, 40)[0]
    size, count = struct.unpack_from("<HH", data, 58)
    found: set[str] = set()
    for number in range(count if offset else 0):
        at = offset + number * size
        if struct.unpack_from("<I", data, at + 4)[0] != SHT_DYNSYM:
            continue
        start, length, link = struct.unpack_from("<QQI", data, at + 24)
        names = struct.unpack_from("<Q", data, offset + link * size + 24)[0]
        for name, _info, _other, section, _value, _size in struct.iter_unpack(
            "<IBBHQQ", data[start : start + length]
        ):
            if name and not section:
                found.add(string_at(data, names + name))
    return found
