"""cpio archives: what the kernel reads."""

from __future__ import annotations

import io

from builder.formats.cpio import Member, write_cpio

MEMBERS = {
    "usr": Member.directory(),
    "usr/bin": Member.directory(),
    "usr/bin/tool": Member.file(b"#!/bin/sh\n", 0o755),
    "bin": Member.link("usr/bin"),
    "tmp": Member.directory(0o1777),
    "empty": Member.file(b""),
}


def archive(members: dict[str, Member]) -> bytes:
    out = io.BytesIO()
    write_cpio(members, out, epoch=1_700_000_000)
    return out.getvalue()


def fields(data: bytes, offset: int) -> list[int]:
    assert data[offset : offset + 6] == b"070701"
    return [int(data[offset + 6 + 8 * n : offset + 14 + 8 * n], 16) for n in range(13)]


def members(data: bytes) -> list[tuple[str, list[int], bytes]]:
    """An independent reader of the form: (name, fields, content) of each member."""
    found = []
    offset = 0
    while True:
        head = fields(data, offset)
        name = data[offset + 110 : offset + 110 + head[11] - 1].decode()
        start = offset + 110 + head[11]
        start += -start % 4
        found.append((name, head, data[start : start + head[6]]))
        offset = start + head[6]
        offset += -offset % 4
        if name == "TRAILER!!!":
            return found


def test_members_read_back() -> None:
    found = members(archive(MEMBERS))
    assert [name for name, _, _ in found] == [*sorted(MEMBERS), "TRAILER!!!"]
    for name, head, content in found[:-1]:
        assert head[1] == MEMBERS[name].mode
        assert content == MEMBERS[name].read()
        assert (head[2], head[3], head[5]) == (0, 0, 1_700_000_000)


def test_inodes_differ() -> None:
    found = members(archive(MEMBERS))[:-1]
    assert len({head[0] for _, head, _ in found}) == len(found)


def test_order_of_insertion_does_not_matter() -> None:
    assert archive(MEMBERS) == archive(dict(reversed(MEMBERS.items())))


def test_ends_with_a_whole_block() -> None:
    assert len(archive(MEMBERS)) % 512 == 0
