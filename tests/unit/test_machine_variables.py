"""Firmware variables: a store like OVMF's, and keys written into it."""

from __future__ import annotations

import struct
import uuid

import pytest

from builder.errors import Code, ColvertError
from builder.machine.variables import enrolled

HEAD = 72
STORE = 4096


def flash(size: int = STORE, *, used: bool = False) -> bytes:
    """An empty firmware volume with an empty store of authenticated variables."""
    volume = uuid.UUID("fff12b8d-7696-4c8b-a985-2747075b4f50").bytes_le
    head = bytes(16) + volume + struct.pack("<Q4sIHHHBB", 8192, b"_FVH", 0, HEAD, 0, 0, 0, 2)
    head += bytes(HEAD - len(head))
    store = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792").bytes_le + struct.pack(
        "<IBBHI", size, 90, 254, 0, 0
    )
    rest = (b"\xaa\x55" if used else b"") + b"\xff" * size
    return (head + store + rest).ljust(8192, b"\xff")


def read(content: bytes) -> dict[str, tuple[int, bytes]]:
    """Name -> attributes and content of every variable of a store."""
    found, place = {}, HEAD + 28
    while content[place : place + 2] == b"\xaa\x55":
        _, state, _, attributes, _, _, _, name, data, _ = struct.unpack_from(
            "<HBBIQ16sIII16s", content, place
        )
        assert state == 0x3F
        begin = place + 60
        text = content[begin : begin + name].decode("utf-16-le").rstrip("\0")
        found[text] = (attributes, content[begin + name : begin + name + data])
        place = begin + -(-(name + data) // 4) * 4
    return found


def test_keys_are_written_and_secure_boot_is_on() -> None:
    made = enrolled(flash(), {"PK": b"own", "KEK": b"kek", "db": b"12345", "dbx": b""})
    assert len(made) == len(flash())
    assert read(made) == {
        "PK": (0x27, b"own"),
        "KEK": (0x27, b"kek"),
        "db": (0x27, b"12345"),
        "SecureBootEnable": (0x03, b"\x01"),
    }


@pytest.mark.parametrize("wrong", [flash(used=True), bytes(8192), flash()[:16] + b"?" + flash()[17:]])
def test_anything_else_is_refused(wrong: bytes) -> None:
    with pytest.raises(ColvertError) as caught:
        enrolled(wrong, {"PK": b"own"})
    assert caught.value.code is Code.IMAGE_INVALID


def test_keys_that_do_not_fit_are_told() -> None:
    with pytest.raises(ColvertError) as caught:
        enrolled(flash(), {"db": bytes(STORE)})
    assert caught.value.code is Code.TOO_LARGE
