"""Hardening of an ELF file, read from its headers and symbols.

Program headers and dynamic tags as in the System V ABI, the note about jumps as in its supplements for
processors; GNU_STACK and GNU_RELRO are described in ld(1) under `-z`.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from elftools.elf.constants import P_FLAGS

from builder.arch import ARCHITECTURES
from builder.formats.elf import Headers, read_with

DF_TEXTREL, DF_BIND_NOW, DF_1_NOW = 4, 8, 1
# With _FORTIFY_SOURCE from 2 on, glibc's headers turn every call of these into one of __NAME_chk:
# they have a variable argument list, which no compiler can prove harmless.
CHECKED = re.compile(rb"(?=v?[dfs]?printf\0)")
# Elf64_Sym: name, info, other, section, value, size
SYMBOL, UNDEFINED = struct.Struct("<IBBHQQ"), 0


class Lack(StrEnum):
    """Hardening features that a binary may lack."""

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
    return read_with(path, parse_hardening)


def parse_hardening(headers: Headers) -> Hardening | None:
    """The hardening of a program or a shared library; None for objects and modules."""
    kind = headers.file["e_type"]
    if kind not in ("ET_EXEC", "ET_DYN"):
        return None
    kinds = {segment["p_type"] for segment in headers.segments}
    tags = {tag["d_tag"]: tag["d_val"] for tag in headers.tags}
    flags, flags_1 = tags.get("DT_FLAGS", 0), tags.get("DT_FLAGS_1", 0)
    stack = [segment["p_flags"] for segment in headers.of("PT_GNU_STACK")]
    good = {
        Lack.PIE: kind == "ET_DYN",
        Lack.RELRO: "PT_GNU_RELRO" in kinds,
        Lack.NOW: "DT_BIND_NOW" in tags or bool(flags & DF_BIND_NOW) or bool(flags_1 & DF_1_NOW),
        # without the header the kernel makes the stack executable
        Lack.STACK: bool(stack) and not any(flags & P_FLAGS.PF_X for flags in stack),
        Lack.TEXT: "DT_TEXTREL" not in tags and not flags & DF_TEXTREL,
        Lack.CET: _protects(headers),
        Lack.FORTIFY: not _calls_unchecked(headers),
    }
    return Hardening(
        program="PT_INTERP" in kinds,
        dynamic="PT_DYNAMIC" in kinds,
        lacks=tuple(lack for lack, has in good.items() if not has),
        build_id=next(headers.notes("GNU", "NT_GNU_BUILD_ID"), ""),
    )


def _protects(headers: Headers) -> bool:
    """Whether all of the file's code was compiled so that its processor can check jumps."""
    rows = (row for row in ARCHITECTURES.values() if row.elf == headers.file["e_machine"])
    wanted = next((row.protection for row in rows), None)
    for properties in headers.notes("GNU", "NT_GNU_PROPERTY_TYPE_0"):
        for item in properties:
            if wanted is not None and item["pr_type"] == wanted.property:
                return int(item["pr_data"]) & wanted.bits == wanted.bits
    return False


def _calls_unchecked(headers: Headers) -> bool:
    """Whether a file wants one of CHECKED from its libraries."""
    for table in headers.sections:
        if table["sh_type"] == "SHT_DYNSYM":
            strings = headers.content(headers.sections[table["sh_link"]])
            at = {match.start() for match in CHECKED.finditer(strings)}
            # pyelftools takes 20 us for a symbol, and libraries have thousands
            symbols = SYMBOL.iter_unpack(headers.content(table))
            if any(name in at and section == UNDEFINED for name, _, _, section, _, _ in symbols):
                return True
    return False
