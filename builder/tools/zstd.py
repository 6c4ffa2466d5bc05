"""zstd frames as update files are: one frame each, with its content's size in the header.

A machine decodes one in a single call with the destination (and, for a delta, the old file) mapped,
so the window may be as large as the content and costs it no memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from builder.tools.workspace import bench

# erofs and the initrd are zstd already: usr 33.7 MB in 0.04 s, at level 15 33.6 MB in 1.1 s
WHOLE_LEVEL = 3
# docs/decisions/update-deltas.md has the figures
DELTA_LEVEL = 12
# the SHA-256 of what comes out is checked anyway; several threads would cut the work into jobs
OPTIONS = ("-q", "--no-check", "--single-thread")


def compress(source: Path, out: Path, *, sdk_root: Path, level: int = WHOLE_LEVEL) -> Path:
    """Write `source` as one frame to `out`."""
    return _run(["zstd", f"-{level}"], {"source": source}, out, sdk_root)


def expand(source: Path, out: Path, *, sdk_root: Path, limit: int | None = None) -> Path:
    """Write what the frame `source` holds to `out`; more than `limit` bytes are a failure."""
    words = [*(at_most(limit) if limit is not None else ()), "zstd", "-d", "--long=31"]
    return _run(words, {"source": source}, out, sdk_root)


def at_most(limit: int) -> tuple[str, ...]:
    """Prefix of a command line that limits the size of written files.

    The frame's header is no limit: it is untrusted, and more frames may follow.
    """
    return ("prlimit", f"--fsize={limit}", "--core=0")


def make_delta(old: Path, new: Path, out: Path, *, sdk_root: Path, level: int = DELTA_LEVEL) -> Path:
    """Write what leads from `old` to `new` as one frame to `out`."""
    words = ["zstd", f"-{level}", "--patch-from=/run/in/old"]
    return _run(words, {"source": new, "old": old}, out, sdk_root)


def apply_delta(old: Path, delta: Path, out: Path, *, sdk_root: Path) -> Path:
    """Write what `delta` makes of `old` to `out`."""
    words = ["zstd", "-d", "--long=31", "--patch-from=/run/in/old"]
    return _run(words, {"source": delta, "old": old}, out, sdk_root)


def _run(words: Sequence[str], inputs: dict[str, Path], out: Path, sdk_root: Path) -> Path:
    with bench(out, sdk_root, inputs) as table:
        table.run(*words, *OPTIONS, "-o", table.target("made"), table.source("source"))
        return table.take("made", out)
