"""Deflate blocks (RFC 1951) written without zlib, so that no version of it matters.

The bulk of a disk is compressed in the SDK (`packer.py`); this is for the little around it.
"""

from __future__ import annotations

import re

# RFC 1951, 3.2.3: an empty block with fixed codes that is the last one
LAST_BLOCK = b"\x03\x00"
STORED_MAX = 0xFFFF
# the longest match, and runs of zeros that are worth one
MATCH = 258
ZEROS = re.compile(rb"\0{259,}")


def stored(data: bytes) -> bytes:
    """Bytes as deflate blocks that are not compressed (RFC 1951, 3.2.4), none of them the last."""
    parts = []
    for start in range(0, len(data), STORED_MAX):
        part = data[start : start + STORED_MAX]
        parts += [b"\0", _lengths(len(part)), part]
    return b"".join(parts)


def zeros_deflated(data: bytes) -> bytes:
    """Bytes as deflate blocks in which long runs of zeros shrink, and nothing else.

    A few lines that depend on no version of zlib, for the little that is not packed in the SDK.
    """
    parts, done = [], 0
    for run in ZEROS.finditer(data):
        count = (run.end() - run.start() - 1) // MATCH
        start = run.end() - 1 - count * MATCH
        parts += [stored(data[done:start]), _zeros(count), _lengths(0)]
        done = run.end()
    return b"".join([*parts, stored(data[done:])])


def _lengths(size: int) -> bytes:
    return size.to_bytes(2, "little") + (size ^ STORED_MAX).to_bytes(2, "little")


def _zeros(count: int) -> bytes:
    """A block with fixed codes (RFC 1951, 3.2.6) of 1 + 258 * count zeros; an empty stored one begins."""
    begin, literal, match, distance, end = "010", "00110000", "11000101", "00000", "0000000"
    bits = begin + literal + (match + distance) * count + end + "000"
    return int(bits[::-1], 2).to_bytes(-(-len(bits) // 8), "little")
