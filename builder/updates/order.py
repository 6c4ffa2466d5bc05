"""Order of versions (UAPI group's Version Format Specification).

Only for versions that `builder.manifest.version.check` passes: digits, letters, single dots.
"""

from __future__ import annotations

import re

_PIECE = re.compile(r"\.|[0-9]+|[A-Za-z]+")


def order_key(version: str) -> tuple[tuple[int, int, str], ...]:
    """A key by which versions sort, the oldest first."""
    # what the specification compares at each place: the end is lowest, then a dot, then letters
    # (a missing number counts as 0 before them), then a number
    return (*map(_rank, _PIECE.findall(version)), (0, 0, ""))


def _rank(piece: str) -> tuple[int, int, str]:
    if piece == ".":
        return (1, 0, "")
    return (3, int(piece), "") if piece.isdigit() else (2, 0, piece)


def newer(one: str, other: str) -> bool:
    """Whether `one` is newer than `other`."""
    return order_key(one) > order_key(other)
