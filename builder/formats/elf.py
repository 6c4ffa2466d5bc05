"""ELF files: the libraries they require, read without running them.

pyelftools reads the file; the note that names libraries opened by dlopen is described at uapi-group.org.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypeVar

from elftools.common.exceptions import ELFError
from elftools.common.utils import struct_parse
from elftools.construct import Construct, Container
from elftools.elf.dynamic import Dynamic, DynamicTag
from elftools.elf.elffile import ELFFile
from elftools.elf.notes import iter_notes
from elftools.elf.segments import InterpSegment
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

MAGIC = b"\x7fELF"
CLASS_64_LITTLE = b"\x02\x01"
DLOPEN_NOTE = 0x407C0C0A
# Headers can be made to lead a reader around for hours. A real file needs a hundredth of this.
READ_LIMIT = 256 << 20
# what each read counts as, however short: pyelftools takes 5 us for it
READ_COST = 1024

T = TypeVar("T")


@dataclass(frozen=True)
class Dlopen:
    """A library that is opened when it is needed; any of the names will do. No name: a malformed note."""

    names: tuple[str, ...]
    priority: str


@dataclass(frozen=True)
class Elf:
    """The dynamic section of one file."""

    interpreter: str | None
    needed: tuple[str, ...]
    soname: str | None
    search: tuple[str, ...]
    dlopen: tuple[Dlopen, ...]


@dataclass(frozen=True)
class Headers:
    """The headers of one file, each kind read once.

    Headers alone: the objects that pyelftools makes of segments and sections read whole hash tables.
    """

    file: ELFFile

    @cached_property
    def segments(self) -> list[Container]:
        file = self.file
        at = range(file.num_segments())
        return [self._read(file.structs.Elf_Phdr, file["e_phoff"] + n * file["e_phentsize"]) for n in at]

    @cached_property
    def sections(self) -> list[Container]:
        file = self.file
        at = range(file.num_sections())
        return [self._read(file.structs.Elf_Shdr, file["e_shoff"] + n * file["e_shentsize"]) for n in at]

    @cached_property
    def tags(self) -> list[DynamicTag]:
        """The tags of the dynamic segment, with the strings that the dynamic linker finds."""
        found: list[DynamicTag] = []
        for one in self.of("PT_DYNAMIC"):
            dynamic = Dynamic(self.file.stream, self.file, None, one["p_offset"], one["p_filesz"] == 0)
            found += dynamic.iter_tags()
        return found

    def of(self, kind: str) -> Iterator[Container]:
        """The segments of one kind."""
        return (segment for segment in self.segments if segment["p_type"] == kind)

    def texts(self, *kinds: str) -> Iterator[str]:
        """The strings of the tags of some kinds."""
        for tag in self.tags:
            if tag["d_tag"] in kinds:
                # pyelftools keeps the string of DT_NEEDED as `needed`
                yield getattr(tag, tag["d_tag"].removeprefix("DT_").lower())

    def notes(self, name: str, kind: str | int) -> Iterator[Any]:
        """The contents of all notes of one type."""
        for segment in self.of("PT_NOTE"):
            for note in iter_notes(self.file, segment["p_offset"], segment["p_filesz"]):
                if (note["n_name"], note["n_type"]) == (name, kind):
                    yield note["n_desc"]

    def content(self, section: Container) -> bytes:
        """A section's bytes as they are loaded."""
        self.file.stream.seek(section["sh_offset"])
        return self.file.stream.read(section["sh_size"])

    def _read(self, what: Construct, at: int) -> Container:
        header: Container = struct_parse(what, self.file.stream, at)
        return header


class _Note(BaseModel):
    soname: Annotated[list[str], Field(min_length=1)]
    priority: str = "recommended"


_NOTES = TypeAdapter(list[_Note])


class _Bounded(mmap.mmap):
    """A file in memory that ends the reading of one that leads around for ever."""

    spent = 0

    def read(self, n: int | None = None, /) -> bytes:
        found = super().read(n)
        self.spent += READ_COST + len(found)
        if self.spent > READ_LIMIT:
            raise ELFError("its headers form a loop")
        return found


def is_elf(path: Path) -> bool:
    """Whether a file begins as ELF files do, readable or not."""
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


def read_elf(path: Path) -> Elf | None:
    """Read a 64-bit little-endian ELF file; None for every other and every damaged file."""
    return read_with(path, parse_elf)


def read_with(path: Path, parse: Callable[[Headers], T]) -> T | None:
    """The result of `parse` for a 64-bit little-endian ELF file; None for every other and damaged file."""
    with path.open("rb") as stream:
        head = stream.read(64)
        if len(head) < 64 or not head.startswith(MAGIC + CLASS_64_LITTLE):
            return None
        with _Bounded(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                # mmap has everything that pyelftools calls, and is no IO
                return parse(Headers(ELFFile(data)))  # type: ignore[arg-type]
            except Exception:
                # pyelftools meets damage with exceptions of a dozen types, its own and Python's
                return None


def parse_elf(headers: Headers) -> Elf:
    """The facts of a file that the dynamic linker reads."""
    stream = headers.file.stream
    interpreters = (InterpSegment(one, stream).get_interp_name() for one in headers.of("PT_INTERP"))
    paths = headers.texts("DT_RPATH", "DT_RUNPATH")
    return Elf(
        interpreter=next(interpreters, None),
        needed=tuple(headers.texts("DT_NEEDED")),
        soname=next(headers.texts("DT_SONAME"), None),
        search=tuple(part for path in paths for part in path.split(":") if part),
        dlopen=tuple(item for text in headers.notes("FDO", DLOPEN_NOTE) for item in _dlopen(text)),
    )


def _dlopen(text: bytes) -> list[Dlopen]:
    try:
        entries = _NOTES.validate_json(text.rstrip(b"\0"))
    except ValidationError:
        return [Dlopen((), "malformed")]
    return [Dlopen(tuple(entry.soname), entry.priority) for entry in entries]
