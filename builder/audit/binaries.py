"""Checks of programs and libraries: hardening, required libraries, compiler flags."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from builder.assembly.root import ETC
from builder.audit.files import Tree
from builder.audit.findings import Found
from builder.audit.policy import Check, Flag
from builder.formats.elf import Elf, Headers, is_elf, parse_elf, read_with
from builder.formats.hardening import Hardening, Lack, parse_hardening
from builder.pipeline.key import walk
from builder.sandbox.run import Bind, Sandbox, run

DEBUG = "usr/lib/debug"
LIBRARIES = "usr/lib"
# what begins every option that sets the same thing, in both directions
SETS: Mapping[Flag, tuple[str, ...]] = {
    Flag.PROTECTOR: ("-fstack-protector", "-fno-stack-protector"),
    Flag.CLASH: ("-fstack-clash-protection", "-fno-stack-clash-protection"),
    Flag.CET: ("-fcf-protection", "-fno-cf-protection"),
}
WORDS: Mapping[Lack, str] = {
    Lack.PIE: "is not position-independent",
    Lack.RELRO: "has no RELRO",
    Lack.NOW: "is not bound at startup (BIND_NOW)",
    Lack.STACK: "has an executable stack",
    Lack.TEXT: "has text relocations",
    Lack.CET: "is not marked for IBT and SHSTK (CET)",
    Lack.FORTIFY: "calls printf and related functions without _FORTIFY_SOURCE",
    Lack.PATH: "has a run path outside /usr, or to a missing directory",
    Lack.READABLE: "is an ELF file that cannot be read (damaged, or not for 64 bits)",
}


@dataclass(frozen=True)
class Binary:
    """One ELF file of a tree; without `hardening` it is neither a program nor a library."""

    name: str
    elf: Elf | None
    hardening: Hardening | None


@dataclass(frozen=True)
class Binaries:
    """All ELF files of a tree."""

    tree: Tree

    @cached_property
    def all(self) -> tuple[Binary, ...]:
        found = []
        for name, entry in walk(self.tree.path):
            if entry.is_file(follow_symlinks=False):
                path = Path(entry.path)
                if is_elf(path):
                    elf, hardening = read_with(path, _parse) or (None, None)
                    found.append(Binary(name, elf, hardening))
        return tuple(found)

    def check_hardening(self) -> Iterator[Found]:
        for binary in self.all:
            for lack in self._lacks(binary):
                owner = self.tree.owner(binary.name)
                yield Found(Check.HARDENING, binary.name, lack, WORDS[lack], owner)

    def _lacks(self, binary: Binary) -> Iterator[Lack]:
        if binary.elf is None:
            yield Lack.READABLE
            return
        if binary.hardening is not None:
            yield from binary.hardening.lacks
        if any(not self._inside(binary.name, folder) for folder in binary.elf.search):
            yield Lack.PATH

    def _inside(self, name: str, folder: str) -> bool:
        """Whether a directory of a run path is one of the image's /usr, which nobody can change."""
        place = _expand(folder, name)
        return place.startswith("usr/") and self.tree.root.exists(place)

    def check_libraries(self) -> Iterator[Found]:
        """Libraries that the dynamic linker would not find, from DT_NEEDED and dlopen notes."""
        usual = (LIBRARIES, *self._configured())
        for binary in self.all:
            if binary.elf is None:
                continue
            owner = self.tree.owner(binary.name)
            places = (*(_expand(folder, binary.name) for folder in binary.elf.search), *usual)
            if binary.elf.interpreter and not self.tree.root.exists(binary.elf.interpreter):
                what = f"requires the interpreter {binary.elf.interpreter}, which is missing"
                yield Found(Check.LIBRARIES, binary.name, binary.elf.interpreter, what, owner)
            for soname in binary.elf.needed:
                if not self._there(soname, places):
                    what = f"requires {soname}, which is missing"
                    yield Found(Check.LIBRARIES, binary.name, soname, what, owner)
            for item in binary.elf.dlopen:
                if not item.names:
                    what = "has a malformed dlopen note"
                    yield Found(Check.LIBRARIES, binary.name, "", what, owner)
                elif item.priority != "suggested" and not any(self._there(one, places) for one in item.names):
                    what = f"opens {' or '.join(item.names)} ({item.priority}) with dlopen, which is missing"
                    yield Found(Check.LIBRARIES, binary.name, item.names[0], what, owner)

    def _configured(self) -> tuple[str, ...]:
        """The further directories of ld.so.conf, as far as they are written out."""
        files = [self.tree.path / ETC / "ld.so.conf"]
        files += sorted((self.tree.path / ETC / "ld.so.conf.d").glob("*.conf"))
        lines = [line.strip() for path in files if path.is_file() for line in path.read_text().splitlines()]
        return tuple(line.strip("/") for line in lines if line.startswith("/"))

    def _there(self, soname: str, places: tuple[str, ...]) -> bool:
        return any(self.tree.root.exists(f"{place}/{soname}") for place in places)

    def check_symbols(self, images: Mapping[str, Path]) -> Iterator[Found]:
        """Binaries without debug symbols in their binary package."""
        kept = {
            path.parent.name + path.name.removesuffix(".debug")
            for image in images.values()
            for path in (image / DEBUG / ".build-id").glob("*/*.debug")
        }
        for binary in self.all:
            if binary.hardening and binary.hardening.dynamic and binary.hardening.build_id not in kept:
                what = "has no debug symbols in its package"
                yield Found(Check.SYMBOLS, binary.name, "", what, self.tree.owner(binary.name))


def _parse(headers: Headers) -> tuple[Elf, Hardening | None]:
    return parse_elf(headers), parse_hardening(headers)


def _expand(folder: str, name: str) -> str:
    """A directory of a run path, as a path in the tree."""
    own = name.rpartition("/")[0]
    path = folder.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", f"/{own}")
    parts: list[str] = []
    for part in path.split("/") if path.startswith("/") else ():
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


@dataclass(frozen=True)
class Compiled:
    """Result of the debug symbols: number of compiled files, and the missing compiler options."""

    units: int
    found: tuple[Found, ...]


def check_compiled(images: Mapping[str, Path], *, sdk_root: Path) -> Compiled:
    """DW_AT_producer names the options of each translation unit (DWARF 5, 3.1.1)."""
    units, found = 0, []
    for cpv, image in sorted(images.items()):
        producers = _producers(image / DEBUG, sdk_root)
        units += len(producers)
        for flag in Flag:
            bare = sum(not _has(flag, producer) for producer in producers)
            if bare:
                what = f"{bare} of {len(producers)} files were compiled without {flag}"
                found.append(Found(Check.COMPILED, cpv, flag, what, cpv))
    return Compiled(units, tuple(found))


def _has(flag: Flag, producer: str) -> bool:
    """Whether an option is in force: of several that set the same thing, the last one is."""
    said = [word for word in producer.split() if word.startswith(SETS[flag])]
    return said[-1:] == [flag.value]


def _producers(debug: Path, sdk_root: Path) -> list[str]:
    """What compiled each file of C and C++, in its own words, from the debug symbols of a package."""
    if not debug.is_dir():
        return []
    names = [name for name, entry in walk(debug) if name.endswith(".debug") and not entry.is_symlink()]
    if not names:
        return []
    words = ["readelf", "--debug-dump=info", "--dwarf-depth=1", *names]
    box = Sandbox(root=sdk_root, binds=(Bind(debug, "/run/debug"),))
    said = run(words, sandbox=box, cwd="/run/debug").stdout
    return re.findall(r"DW_AT_producer\s*:.*?(GNU C\S* .*)$", said, re.M)
