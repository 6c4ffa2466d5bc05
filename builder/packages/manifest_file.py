"""Manifest files of packages (GLEP 74): lines for sources renewed, every other line kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from builder.errors import Code
from builder.pipeline.reading import read_regular

DIST = b"DIST"
# ::gentoo's largest has a hundredth of it
MAX_SIZE = 16 << 20


def read_lines(path: Path) -> bytes:
    """The content of a Manifest; none where there is no such file."""
    try:
        return read_regular(path, MAX_SIZE, Code.OVERLAY_INVALID)
    except FileNotFoundError:
        return b""


def sources_in(data: bytes) -> set[str]:
    """The names of the sources that a Manifest pins."""
    found = (_source(line) for line in data.split(b"\n"))
    return {name.decode("utf-8", "replace") for name in found if name is not None}


def renew(old: bytes, fresh: Mapping[str, str], gone: str | None = None) -> bytes:
    """The Manifest with a DIST line for each name of `fresh`, and without the one of the source `gone`.

    A line that says the same, and whatever else the file holds, stays as it was written.
    """
    wanted = {name.encode(): line.encode() for name, line in fresh.items()}
    lines = []
    for line in old.split(b"\n"):
        name = _source(line)
        if name is not None and name == (gone or "").encode():
            continue
        if name not in wanted:
            lines.append(line)
        elif wanted[name]:
            lines.append(line if _same(line, wanted[name]) else wanted[name])
            # a second line for the same source said something else
            wanted[name] = b""
    if lines and not lines[-1]:
        lines.pop()
    for name in sorted(name for name, line in wanted.items() if line):
        lines.insert(_place(lines, name), wanted[name])
    return b"".join(line + b"\n" for line in lines)


def _source(line: bytes) -> bytes | None:
    """The source that a line is about, if it is a DIST line."""
    words = line.split()
    return words[1] if len(words) > 1 and words[0] == DIST else None


def _same(old: bytes, new: bytes) -> bool:
    """Whether a line has the new one's size and hashes, and perhaps others."""
    have, want = old.split(), new.split()
    pairs = set(zip(have[3::2], have[4::2], strict=False))
    return have[1:3] == want[1:3] and pairs >= set(zip(want[3::2], want[4::2], strict=False))


def _place(lines: list[bytes], name: bytes) -> int:
    """Where a new source belongs: before the first with a greater name, after the last, or at the end."""
    after = len(lines)
    for number, line in enumerate(lines):
        other = _source(line)
        if other is not None and other > name:
            return number
        if other is not None:
            after = number + 1
    return after
