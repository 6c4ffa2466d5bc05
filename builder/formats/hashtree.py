"""Hash trees of dm-verity, read and checked against a root hash without the kernel or a tool.

The superblock and the order of levels are those of the kernel's Documentation/admin-guide/
device-mapper/verity.rst and cryptsetup's on-disk format: version 1, salt in front, SHA-256.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from builder.errors import Code, ColvertError

# signature, version, type, uuid, algorithm, data block size, hash block size, data blocks, salt
SUPERBLOCK = "<8sII16s32sIIQH6x256s"
SIGNATURE = b"verity\0\0"
BLOCK = 4096
PER_BLOCK = BLOCK // 32


@dataclass(frozen=True)
class Shape:
    """Fields of the superblock."""

    blocks: int
    salt: bytes

    @property
    def levels(self) -> list[int]:
        """Blocks of each level, the lowest first; the last has one."""
        sizes: list[int] = []
        count = self.blocks
        while count > 1 or not sizes:
            count = -(-count // PER_BLOCK)
            sizes.append(count)
        return sizes


def check_tree(data: Path, tree: Path, root_hash: str) -> str:
    """The mismatch of a usr image and its hash tree; empty if they match the root hash."""
    stored = tree.read_bytes()
    shape = read_shape(stored)
    sizes = shape.levels
    if data.stat().st_size != shape.blocks * BLOCK or len(stored) != (1 + sum(sizes)) * BLOCK:
        return "the sizes of image and hash tree do not match"
    digests = _hashed(_blocks(data), shape.salt)
    # the lowest level is the last in the file
    end = len(stored)
    for size in sizes:
        level = stored[end - size * BLOCK : end]
        end -= size * BLOCK
        if b"".join(_packed(digests)) != level:
            return "a block does not match the hash tree"
        digests = _hashed(_split(level), shape.salt)
    return (
        ""
        if [digest.hex() for digest in digests] == [root_hash]
        else "the hash tree does not match the root hash"
    )


def read_shape(stored: bytes) -> Shape:
    """The superblock of a hash tree."""
    if len(stored) < BLOCK:
        raise ColvertError(Code.IMAGE_INVALID, "the hash tree is truncated")
    found = struct.unpack_from(SUPERBLOCK, stored)
    signature, version, kind, _, algorithm, data_block, hash_block, blocks, salt_size, salt = found
    fixed = (signature, version, kind, algorithm.rstrip(b"\0"), data_block, hash_block)
    if fixed != (SIGNATURE, 1, 1, b"sha256", BLOCK, BLOCK) or salt_size > len(salt) or blocks < 1:
        raise ColvertError(Code.IMAGE_INVALID, "not a SHA-256 hash tree over 4 KiB blocks")
    return Shape(blocks, salt[:salt_size])


def _blocks(data: Path) -> Iterator[bytes]:
    with data.open("rb") as stream:
        while block := stream.read(BLOCK):
            yield block


def _split(level: bytes) -> Iterator[bytes]:
    for at in range(0, len(level), BLOCK):
        yield level[at : at + BLOCK]


def _hashed(blocks: Iterator[bytes], salt: bytes) -> Iterator[bytes]:
    start = hashlib.sha256(salt)
    for block in blocks:
        one = start.copy()
        one.update(block)
        yield one.digest()


def _packed(digests: Iterator[bytes]) -> Iterator[bytes]:
    """Digests as blocks of a level, the last one filled up with zeros."""
    count = 0
    for digest in digests:
        count += 1
        yield digest
    yield bytes(-count % PER_BLOCK * 32)
