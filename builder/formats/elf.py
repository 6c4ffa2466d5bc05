"""ELF files: the libraries and the interpreter that they need, read without running anything.

Layout as in the System V ABI, "Object Files" and "Program Loading and Dynamic Linking";
the note that names libraries opened by dlopen is described at uapi-group.org.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from builder.errors import Code, ColvertError

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE = 1, 2, 3, 4
DT_NEEDED, DT_STRTAB, DT_SONAME, DT_RPATH, DT_RUNPATH = 1, 5, 14, 15, 29
DLOPEN_NOTE = 0x407C0C0A

T = TypeVar("T")


@dataclass(frozen=True)
class Dlopen:
    """A library that is opened when it is needed; any of the names will do."""

    names: tuple[str, ...]
    priority: str


@dataclass(frozen=True)
class Elf:
    """The dynamic section of one file. `machine` is e_machine (62 for x86-64)."""

    machine: int
    interpreter: str | None
    needed: tuple[str, ...]
    soname: str | None
    search: tuple[str, ...]
    dlopen: tuple[Dlopen, ...]


@dataclass(frozen=True)
class Segment:
    """One program header."""

    type: int
    offset: int
    address: int
    size: int
    flags: int = 0


def read_elf(path: Path) -> Elf | None:
    """Read a 64-bit little-endian ELF file; None for every other file.

    A dlopen note that is not as specified is an error: nobody could say what the file needs.
    """
    return read_with(path, _parse)


def read_with(path: Path, parse: Callable[[mmap.mmap], T]) -> T | None:
    """What `parse` makes of a 64-bit little-endian ELF file; None for every other and every broken file."""
    with path.open("rb") as stream:
        head = stream.read(64)
        if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
            return None
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return parse(data)
            except (struct.error, ValueError, IndexError, OverflowError):
                return None


def _parse(data: mmap.mmap) -> Elf:
    machine = struct.unpack_from("<H", data, 18)[0]
    segments = segments_of(data)
    interpreter = next(
        (data[s.offset : s.offset + s.size].rstrip(b"\0").decode() for s in segments if s.type == PT_INTERP),
        None,
    )
    tags = dynamic_tags(data, segments)
    table = next((value for tag, value in tags if tag == DT_STRTAB), None)
    names = _file_offset(segments, table) if table is not None else 0

    def text(*wanted: int) -> tuple[str, ...]:
        return tuple(string_at(data, names + value) for tag, value in tags if tag in wanted)

    search = tuple(part for value in text(DT_RPATH, DT_RUNPATH) for part in value.split(":") if part)
    soname = next(iter(text(DT_SONAME)), None)
    return Elf(machine, interpreter, text(DT_NEEDED), soname, search, _dlopen_notes(data, segments))


def segments_of(data: mmap.mmap) -> list[Segment]:
    offset = struct.unpack_from("<Q", data, 32)[0]
    size, count = struct.unpack_from("<HH", data, 54)
    found = []
    for number in range(count):
        kind, flags, start, address, _physical, length = struct.unpack_from(
            "<IIQQQQ", data, offset + number * size
        )
        found.append(Segment(kind, start, address, length, flags))
    return found


def dynamic_tags(data: mmap.mmap, segments: list[Segment]) -> list[tuple[int, int]]:
    found = []
    for segment in segments:
        if segment.type == PT_DYNAMIC:
            for tag, value in struct.iter_unpack("<qQ", data[segment.offset : segment.offset + segment.size]):
                if tag == 0:
                    break
                found.append((tag, value))
    return found


def _file_offset(segments: list[Segment], address: int) -> int:
    for segment in segments:
        if segment.type == PT_LOAD and segment.address <= address < segment.address + segment.size:
            return address - segment.address + segment.offset
    raise ValueError("address outside of all segments")


def string_at(data: mmap.mmap, offset: int) -> str:
    return data[offset : data.find(b"\0", offset)].decode()


def notes(data: mmap.mmap, segments: list[Segment]) -> Iterator[tuple[int, bytes, bytes]]:
    """The notes of a file: type, name and description."""
    for segment in segments:
        if segment.type != PT_NOTE:
            continue
        position, end = segment.offset, segment.offset + segment.size
        while position + 12 <= end:
            name_size, size, kind = struct.unpack_from("<III", data, position)
            start = position + 12 + (name_size + 3 & ~3)
            yield (
                kind,
                data[position + 12 : position + 12 + name_size].rstrip(b"\0"),
                data[start : start + size],
            )
            position = start + (size + 3 & ~3)


def _dlopen_notes(data: mmap.mmap, segments: list[Segment]) -> tuple[Dlopen, ...]:
    texts = (body.rstrip(b"\0") for kind, _name, body in notes(data, segments) if kind == DLOPEN_NOTE)
    return tuple(item for text in texts for item in _dlopen(text))


def _dlopen(text: bytes) -> list[Dlopen]:
    """The entries of a dlopen note: a JSON list of objects, each with the names of one library."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(map(_is_dlopen, found)):
        raise ColvertError(
            Code.IMAGE_INVALID,
            f"its note about libraries opened by dlopen is none: {text[:80].decode(errors='replace')!r}",
            hint="it has to be a JSON list of objects with a list of names, `soname`",
        )
    return [Dlopen(tuple(item["soname"]), str(item.get("priority", "recommended"))) for item in found]


def _is_dlopen(item: object) -> bool:
    names = item.get("soname") if isinstance(item, dict) else None
    return isinstance(names, list) and bool(names) and all(isinstance(name, str) for name in names)
