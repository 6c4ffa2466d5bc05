"""Copies into disks in which holes stay holes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import BinaryIO

CHUNK = 1 << 16


def data_chunks(stream: FileIO, size: int) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of all 64 KiB chunks that are not all zero, holes never read."""
    zeros = bytes(CHUNK)
    position = 0
    while position < size:
        try:
            data = os.lseek(stream.fileno(), position, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole is left
            return
        position = data - data % CHUNK
        os.lseek(stream.fileno(), position, os.SEEK_SET)
        chunk = os.read(stream.fileno(), CHUNK)
        if chunk != zeros[: len(chunk)]:
            yield position, chunk
        position += CHUNK


def copy_into(source: Path, target: BinaryIO, offset: int) -> None:
    """Write a file's data into `target` from `offset` on; where it is zero, nothing is written."""
    with source.open("rb", buffering=0) as stream:
        for position, chunk in data_chunks(stream, source.stat().st_size):
            os.pwrite(target.fileno(), chunk, offset + position)
