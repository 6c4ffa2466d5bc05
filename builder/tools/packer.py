"""Compress a disk's data, 64 KiB by 64 KiB; runs inside the SDK, so that its zlib decides the bytes.

usage: packer.py DISK DATA INDEX

DATA gets the compressed chunks, one behind the other; INDEX a JSON list of [offset, place in
DATA, length, Adler-32 of the chunk].
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

Batch = list[tuple[int, bytes]]
# (offset, compressed, Adler-32)
Results = list[tuple[int, bytes, int]]
CHUNK = 1 << 16
ZEROS = bytes(CHUNK)
LEVEL = 6
# qcow2 wants a window of 4 KiB (QEMU docs/interop/qcow2.txt, "Compressed Clusters"); all others take any
WINDOW = -12
MEMORY = 9
# A chunk of which this much, taken from four places, does not shrink by a 32nd is packed already
# (by erofs, in the UKI): stored as it is.
SAMPLE = 1 << 10
WORTH = 4 * SAMPLE * 31 // 32
BATCH = 16


def chunks(stream: int) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of all chunks that are not all zero, holes never read."""
    position, end = 0, os.fstat(stream).st_size
    while position < end:
        try:
            data = os.lseek(stream, position, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole is left
            return
        position = data - data % CHUNK
        chunk = os.pread(stream, CHUNK, position)
        if chunk != ZEROS[: len(chunk)]:
            yield position, chunk
        position += CHUNK


def deflate(data: bytes, level: int) -> bytes:
    """Raw deflate blocks up to a byte boundary, none of them the last: they can follow each other."""
    packer = zlib.compressobj(level, zlib.DEFLATED, WINDOW, MEMORY)
    return packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)


def pack(batch: Batch) -> Results:
    packed: Results = []
    for offset, chunk in batch:
        places = range(0, CHUNK, CHUNK // 4)
        sample = b"".join(chunk[place : place + SAMPLE] for place in places)
        level = LEVEL if len(deflate(sample, 1)) < WORTH else 0
        packed.append((offset, deflate(chunk, level), zlib.adler32(chunk)))
    return packed


def batches(found: Iterable[tuple[int, bytes]]) -> Iterator[Batch]:
    batch: Batch = []
    for item in found:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def in_order(work: Iterable[Batch], threads: int) -> Iterator[Results]:
    """The results of all batches in their order, with no more of them in memory than it takes."""
    with ThreadPoolExecutor(threads) as pool:
        running: deque[Future[Results]] = deque()
        for batch in work:
            running.append(pool.submit(pack, batch))
            if len(running) > 2 * threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def main(disk: str, data: str, index: str) -> None:
    found = chunks(os.open(disk, os.O_RDONLY))
    rows = []
    place = 0
    with open(data, "wb") as out:
        for results in in_order(batches(found), len(os.sched_getaffinity(0))):
            for offset, packed, check in results:
                out.write(packed)
                rows.append([offset, place, len(packed), check])
                place += len(packed)
    with open(index, "w") as text:
        json.dump(rows, text)


if __name__ == "__main__":
    main(*sys.argv[1:])
