"""Files that make up one manifest, in the order in which they apply.

What is included comes before what includes it; a file that is reached on two ways counts
once, at its first place, so that it cannot undo what came after it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from builder.errors import Code, Location
from builder.manifest.marks import (
    MAX_BYTES,
    Entry,
    Items,
    Mark,
    Scalar,
    Source,
    Table,
    Tag,
    Value,
    compose,
    decode,
)
from builder.manifest.problems import Problems
from builder.texts import nearest, quote

MAX_FILES = 64


class Layers:
    """Reads a manifest and its includes; keeps their texts and names."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.texts: list[bytes] = []
        self._names: dict[Path, str] = {}
        self._open: list[Path] = []

    @property
    def files(self) -> tuple[str, ...]:
        """The names of all files, first the one that was asked for."""
        return tuple(self._names.values())

    def read(self, path: Path) -> list[Table]:
        """The layers of a manifest, base first."""
        return self._file(path, None)

    def overrides(self, values: Mapping[str, str]) -> list[Table]:
        """One layer for each value of the command line."""
        layers = []
        for key, text in values.items():
            source = Source(f"--set {key}", Path.cwd())
            self.problems.file(source.name)
            if key.partition(".")[0] == "include":
                what = "`include` cannot be set here"
                hint = "write a manifest with `include:`, and build that"
                self.problems.fatal(Code.MANIFEST_INVALID, what, Location(source.name), hint=hint)
                continue
            value = compose(text, source, self.problems) or Scalar(None, Mark(source))
            for part in reversed(key.split(".")):
                value = Table({part: Entry(Mark(source), value)}, Mark(source))
            assert isinstance(value, Table)
            layers.append(value)
        return layers

    def _file(self, path: Path, asked: Location | None) -> list[Table]:
        """The layers of a file, included at `asked` (None: the manifest itself)."""
        name = os.path.normpath(path)
        real = _real(path)
        if real in self._open:
            way = [self._names[entry] for entry in self._open[self._open.index(real) :]]
            what = " includes ".join([*way, name])
            self.problems.fatal(Code.INCLUDE_CYCLE, what, asked, hint="remove one of these includes")
            return []
        if real in self._names:
            return []
        if len(self._names) >= MAX_FILES:
            self.problems.fatal(Code.MANIFEST_INVALID, f"more than {MAX_FILES} files", asked)
            return []
        data = self._bytes(path, asked)
        if data is None:
            return []
        self._names[real] = name
        self.problems.file(name)
        self._open.append(real)
        layers = self._parse(data, Source(name, Path(os.path.abspath(path.parent))), path)
        self._open.pop()
        self.texts.append(data)
        return layers

    def _bytes(self, path: Path, asked: Location | None) -> bytes | None:
        """At most a little more than a manifest may have, of a regular file only."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            self._missing(path, asked, error)
            return None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            code = Code.INCLUDE_MISSING if asked else Code.MANIFEST_MISSING
            what = f"{quote(str(path))} is not a regular file"
            self.problems.fatal(code, what, asked or Location(str(path)))
            return None
        with os.fdopen(descriptor, "rb") as stream:
            return stream.read(MAX_BYTES + 1)

    def _missing(self, path: Path, asked: Location | None, error: Exception) -> None:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        try:
            near = nearest(
                path.name, [entry.name for entry in path.parent.iterdir() if entry.suffix == ".yaml"]
            )
        except (OSError, ValueError):
            near = ""
        code, kind = (Code.INCLUDE_MISSING, "included file") if asked else (Code.MANIFEST_MISSING, "manifest")
        what = f"the {kind} {quote(str(path))} cannot be read ({reason}){near}"
        self.problems.fatal(code, what, asked or Location(str(path)))

    def _parse(self, data: bytes, source: Source, path: Path) -> list[Table]:
        text = decode(data, source, self.problems)
        if text is None:
            return []
        value = compose(text, source, self.problems)
        if value is None and not self.problems.broken:
            self.problems.fatal(Code.MANIFEST_SYNTAX, "the file is empty", Location(source.name))
        if not isinstance(value, Table):
            if value is not None:
                what = "a manifest must be a mapping (`key: value` lines)"
                self.problems.fatal(Code.MANIFEST_SYNTAX, what, value.mark.location)
            return []
        entries = dict(value.entries)
        include = entries.pop("include", None)
        layers = self._includes(include.value, path) if include else []
        return [*layers, Table(entries, value.mark)]

    def _includes(self, value: Value, path: Path) -> list[Table]:
        members = value.members if isinstance(value, Items) else (value,)
        layers: list[Table] = []
        for member in members:
            if not isinstance(member, Scalar) or not member.text or Tag.NONE not in (value.tag, member.tag):
                what = "`include` requires a file name, or a list of file names"
                self.problems.fatal(Code.MANIFEST_INVALID, what, member.mark.location)
                continue
            layers += self._file(path.parent / member.text, member.mark.location)
        return layers


def _real(path: Path) -> Path:
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError):
        return path
