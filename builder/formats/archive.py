"""Archives around images: tar members without files behind them, and gzip.

What goes into an archive is a sequence of pieces (`content`), made while it is written, so
that no image is ever a file of its own on the way. A gzip stream takes a disk's chunks as
they are packed already, and everything else uncompressed: images that are compressed in
themselves, and a few hundred bytes of text.
"""

from __future__ import annotations

import struct
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from builder.formats.chunk import Chunk, Piece
from builder.formats.content import Content, length, padding, plain, runs
from builder.formats.deflate import LAST_BLOCK, stored
from builder.formats.sparse import CHUNK

BLOCK = tarfile.BLOCKSIZE
# RFC 1952, 2.3.1: magic, deflate, no flags, no time, no extra flags, made under Unix
GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\x03"
# the end of an archive (POSIX pax, "ustar Interchange Format")
TAR_END = bytes(2 * BLOCK)


@dataclass(frozen=True)
class Member:
    """One file of an archive; its pieces are asked for twice: for their length, and to be written."""

    name: str
    pieces: Callable[[], Iterable[Piece]]

    @classmethod
    def text(cls, name: str, text: str) -> Member:
        data = text.encode()
        return cls(name, lambda: [data])


def tar(members: Iterable[Member], *, epoch: int) -> Iterator[Piece]:
    """A POSIX ustar archive (what OVF, DSP0243, 6.4 wants) of files that root owns."""
    for member in members:
        size = length(member.pieces())
        info = tarfile.TarInfo(member.name)
        info.size, info.mtime, info.mode = size, epoch, 0o644
        yield info.tobuf(tarfile.USTAR_FORMAT)
        yield from member.pieces()
        yield padding(size, BLOCK)
    yield TAR_END


def gzip(pieces: Iterable[Piece]) -> Iterator[bytes]:
    """One gzip member of pieces; a disk's chunks stay as they were packed."""
    yield GZIP_HEADER
    check = size = 0
    for piece in pieces:
        data = plain(piece)
        check = zlib.crc32(data, check)
        size += len(data)
        yield piece.deflated() if isinstance(piece, Chunk) else stored(data)
    yield LAST_BLOCK + struct.pack("<II", check, size & 0xFFFFFFFF)


# --- a sparse file as GNU tar's old format has it ---------------------------------------

# GNU tar manual, "Basic Tar Format", struct oldgnu_header and struct sparse_header
SPARSE = b"S"
OLDGNU_MAGIC = b"ustar  \0"
OLDGNU = "100s8s8s8s12s12s8sc100s8s32s32s8s8s12s12s12s4sx96sc12s17x"
IN_HEADER, IN_EXTENSION = 4, 21
MAX_OCTAL = 8**11


def sparse_tar(name: str, content: Content, *, epoch: int) -> Iterator[Piece]:
    """An archive that holds `content` under `name`, sparse, as `tar --format=oldgnu -S` writes it."""
    regions = [(start, chunks) for start, chunks in runs(content)]
    entries = [(start, len(chunks) * CHUNK) for start, chunks in regions]
    if not entries or sum(entries[-1]) < content.size:
        entries.append((content.size, 0))
    yield _oldgnu(name, content.size, entries, epoch)
    for first in range(IN_HEADER, len(entries), IN_EXTENSION):
        here = b"".join(map(_entry, entries[first : first + IN_EXTENSION])).ljust(IN_EXTENSION * 24, b"\0")
        more = len(entries) > first + IN_EXTENSION
        yield (here + bytes([more])).ljust(BLOCK, b"\0")
    found: Iterator[Chunk] = (chunk for _, chunks in regions for chunk in chunks)
    yield from found
    yield TAR_END


def _oldgnu(name: str, size: int, entries: list[tuple[int, int]], epoch: int) -> bytes:
    stored_size = sum(length for _, length in entries)
    here = b"".join(map(_entry, entries[:IN_HEADER]))
    fields = [
        name.encode(), b"0000644\0", b"0000000\0", b"0000000\0", _number(stored_size), _number(epoch),
        b" " * 8, SPARSE, b"", OLDGNU_MAGIC, b"root", b"root", b"", b"", b"", b"", b"", b"", here,
        bytes([len(entries) > IN_HEADER]), _number(size),
    ]  # fmt: skip
    header = struct.pack(OLDGNU, *fields)
    # the sum over the header with spaces in place of the sum itself
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def _entry(entry: tuple[int, int]) -> bytes:
    return _number(entry[0]) + _number(entry[1])


def _number(value: int) -> bytes:
    """12 bytes: octal, or from 8 GiB on GNU's base 256 ("Extensions to the basic format")."""
    return b"%011o\0" % value if value < MAX_OCTAL else b"\x80" + value.to_bytes(11, "big")
