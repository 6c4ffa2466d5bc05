"""Packed content and the archives made of it: what comes out reads back, with and without compression."""

from __future__ import annotations

import gzip as python_gzip
import io
import os
import struct
import tarfile
import zlib
from functools import partial
from pathlib import Path

import pytest

from builder.errors import Code, ColvertError
from builder.formats.archive import Member, gzip, sparse_tar, tar
from builder.formats.chunk import Made, MemoryChunk
from builder.formats.content import Content, Packed, hashed, length, open_content, open_plain, plain, save_raw
from builder.formats.deflate import LAST_BLOCK, stored, zeros_deflated
from builder.formats.gpt import MIB
from builder.formats.qcow2 import CLUSTER, HEADER, qcow2
from builder.formats.sparse import CHUNK
from builder.formats.table import least_size, partition, partitions, resized
from builder.formats.vmdk import Vmdk, cid, sparse_vmdk, stream_vmdk
from builder.tools import packer
from tests.unit.disks import OEM, SIZE, content, table

EPOCH = 1_700_000_000


def packed(tmp_path: Path, disk: Path) -> Content:
    """Pack a file as the SDK would, with this Python's own zlib."""
    made = Packed(tmp_path / "data", tmp_path / "index")
    packer.main(str(disk), str(made.data), str(made.index))
    return open_content(disk, made)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Random data, text, a written zero chunk, holes."""
    path = tmp_path / "disk"
    with path.open("wb") as stream:
        stream.truncate(64 * MIB)
        os.pwrite(stream.fileno(), os.urandom(3 * CHUNK), MIB)
        os.pwrite(stream.fileno(), b"text " * CHUNK, 10 * MIB + 5)
        os.pwrite(stream.fileno(), bytes(4 * CHUNK), 32 * MIB)
        os.pwrite(stream.fileno(), b"end", 64 * MIB - 3)
    return path


def test_chunks_unpack_to_what_they_were(tmp_path: Path, disk: Path) -> None:
    found = packed(tmp_path, disk)
    whole = disk.read_bytes()
    assert 32 * MIB not in found.chunks
    for offset, chunk in found.chunks.items():
        data = whole[offset : offset + CHUNK]
        assert chunk.raw() == data
        # qcow2's window, and no last block: the next chunk may follow
        reader = zlib.decompressobj(-12)
        assert reader.decompress(chunk.deflated()) == data
        assert not reader.eof
        assert chunk.adler == zlib.adler32(data)
    save_raw(found, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == whole
    assert (tmp_path / "again").stat().st_blocks <= disk.stat().st_blocks


def test_packing_is_the_same_with_one_processor(tmp_path: Path, disk: Path) -> None:
    (tmp_path / "one").mkdir()
    packed(tmp_path, disk)
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    try:
        packed(tmp_path / "one", disk)
    finally:
        os.sched_setaffinity(0, processors)
    for name in ("data", "index"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


@pytest.mark.parametrize("size", [0, 1, 0xFFFF, 0x10000, 200_000])
def test_stored_blocks_of_any_length(size: int) -> None:
    data = os.urandom(size)
    assert zlib.decompress(stored(data) + LAST_BLOCK, -15) == data


@pytest.mark.parametrize(
    "data",
    [
        b"", b"x", bytes(258), bytes(259), bytes(260), bytes(CHUNK), b"a" + bytes(CHUNK - 2) + b"b",
        (b"text" + bytes(517)) * 100, bytes(5000) + os.urandom(70_000) + bytes(777),
    ],
    ids=lambda data: str(len(data)),
)  # fmt: skip
def test_runs_of_zeros_shrink(data: bytes) -> None:
    made = zeros_deflated(data)
    reader = zlib.decompressobj(-12)
    assert reader.decompress(made) == data
    assert not reader.eof
    assert zlib.decompress(made + LAST_BLOCK, -15) == data
    assert len(made) <= len(data) + 30
    assert len(zeros_deflated(bytes(CHUNK))) < CHUNK // 100


def test_a_file_that_is_not_packed_is_the_same_content(tmp_path: Path, disk: Path) -> None:
    one, other = packed(tmp_path, disk), open_plain(disk)
    assert one.id == other.id
    assert {offset: chunk.raw() for offset, chunk in one.chunks.items()} == {
        offset: zlib.decompress(chunk.deflated() + LAST_BLOCK, -12) for offset, chunk in other.chunks.items()
    }


@pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK + 512])
def test_a_disk_of_odd_size_is_refused(tmp_path: Path, size: int) -> None:
    odd = tmp_path / "odd"
    odd.write_bytes(bytes(size))
    (tmp_path / "index").write_text("[]")
    packed = Packed(odd, tmp_path / "index")
    for read in (partial(open_plain, odd), partial(open_content, odd, packed)):
        with pytest.raises(ColvertError) as caught:
            read()
        assert caught.value.code is Code.IMAGE_INVALID
        assert f"{size} bytes, not a multiple of 65536" in caught.value.what


def test_a_range_is_laid_over_and_the_rest_stays() -> None:
    over = Content(OEM[1], {CHUNK: MemoryChunk(b"x" * CHUNK)})
    made = content().over({OEM: over})
    assert OEM[0] not in made.chunks
    assert made.chunks[OEM[0] + CHUNK].raw() == b"x" * CHUNK
    assert list(made.chunks) == sorted(made.chunks)
    assert made.id != content().id


def test_gzip_of_texts_and_chunks(tmp_path: Path, disk: Path) -> None:
    found = packed(tmp_path, disk)
    pieces: list[bytes | Made] = [b"before", *found.chunks.values(), b"", b"after" * 50_000]
    made = b"".join(gzip(pieces))
    assert python_gzip.decompress(made) == b"".join(map(plain, pieces))
    assert len(made) < 600_000


def test_tar_is_ustar_in_the_order_given() -> None:
    members = [Member.text("b", "text"), Member("a", lambda: [b"1" * 600, MemoryChunk(b"2" * CHUNK)])]
    made = b"".join(map(plain, tar(members, epoch=EPOCH)))
    with tarfile.open(fileobj=io.BytesIO(made)) as archive:
        assert archive.getnames() == ["b", "a"]
        [first, second] = archive.getmembers()
        assert (first.uid, first.gid, first.mode, first.mtime) == (0, 0, 0o644, EPOCH)
        file = archive.extractfile(second)
        assert file is not None
        assert file.read() == b"1" * 600 + b"2" * CHUNK
    assert made[257:265] == b"ustar\x0000"


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 25, 26, 60])
def test_sparse_tar_with_any_number_of_regions(count: int) -> None:
    size = 256 * MIB
    chunks = {number * 4 * CHUNK: MemoryChunk(bytes([number + 1]) * CHUNK) for number in range(count)}
    made = b"".join(map(plain, sparse_tar("disk.raw", Content(size, dict(chunks)), epoch=EPOCH)))
    assert len(made) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(made)) as archive:
        [member] = archive.getmembers()
        assert (member.name, member.size, member.type) == ("disk.raw", size, tarfile.GNUTYPE_SPARSE)
        file = archive.extractfile(member)
        assert file is not None
        whole = file.read()
    assert len(whole) == size
    for offset, chunk in chunks.items():
        assert whole[offset : offset + 2 * CHUNK] == chunk.data + bytes(CHUNK)


def test_sparse_tar_of_more_than_octal_can_say() -> None:
    made = b"".join(map(plain, sparse_tar("disk.raw", content(), epoch=EPOCH)))
    with tarfile.open(fileobj=io.BytesIO(made)) as archive:
        [member] = archive.getmembers()
        assert member.size == SIZE
        file = archive.extractfile(member)
        assert file is not None
        file.seek(SIZE - CHUNK)
        assert file.read() == content().chunks[SIZE - CHUNK].raw()


def test_qcow2_says_what_it_holds() -> None:
    made = b"".join(map(plain, qcow2(content())))
    assert length(qcow2(content())) == len(made)
    fields = struct.unpack(HEADER, made[:112])
    assert fields[:2] == (b"QFI\xfb", 3)
    assert fields[5] == SIZE
    assert len(made) % CLUSTER == 0
    l1 = struct.unpack_from(f">{fields[7]}Q", made, fields[8])
    assert [bool(entry) for entry in l1] == [offset in (0, 5, 11, 15) for offset in range(16)]


def test_vmdk_is_named_and_numbered_by_its_content() -> None:
    vmdk = Vmdk("name.vmdk", 17)
    for make in (stream_vmdk, sparse_vmdk):
        made = b"".join(map(plain, make(content(), vmdk)))
        again = b"".join(map(plain, make(content(), vmdk)))
        assert made == again
        assert f"CID={cid(content()):08x}\n".encode() in made
        assert length(make(content(), vmdk)) == len(made)
        assert len(made) % 512 == 0
    assert cid(content()) != cid(resized(content(), SIZE + MIB))
    assert hashed([b"a", MemoryChunk(b"b")]) == hashed([b"ab"])


def test_partitions_are_found_without_a_tool() -> None:
    assert [span.label for span in partitions(content())] == ["ESP", "OEM"]
    assert (partition(content(), "OEM").start, partition(content(), "OEM").size) == OEM
    with pytest.raises(ColvertError) as caught:
        partition(content(), "ROOT")
    assert caught.value.code is Code.IMAGE_INVALID
    with pytest.raises(ColvertError):
        partition(Content(SIZE, {}), "OEM")


@pytest.mark.parametrize("size", [7 << 30, 9 << 30, (20 << 30) + MIB, 3 << 40])
def test_another_size_moves_the_second_table(size: int) -> None:
    made = resized(content(), size)
    first, last = table(size)
    assert made.size == size
    assert made.chunks[0].raw() == first
    assert made.chunks[size - CHUNK].raw() == last
    assert (SIZE - CHUNK in made.chunks) is False
    assert len(made.chunks) == len(content().chunks)


def test_a_size_below_the_partitions_is_refused() -> None:
    least = least_size(content())
    assert OEM[0] + OEM[1] < least < OEM[0] + OEM[1] + MIB
    with pytest.raises(ColvertError) as caught:
        resized(content(), OEM[0] + OEM[1])
    assert caught.value.code is Code.TOO_LARGE
    assert resized(content(), SIZE) == content()
