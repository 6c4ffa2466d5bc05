"""Firmware variables: keys written into the SDK's own store, read back by the specification's offsets."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from builder.arch import DEFAULT
from builder.errors import Code, ColvertError
from builder.machine.variables import enroll
from builder.sandbox.home import open_home
from builder.sandbox.sdk import Sdk
from builder.signing.signature_list import GLOBAL, Signature, signature_lists

# edk2, MdeModulePkg/Include/Guid/VariableFormat.h: behind the heads of the volume and of the store
FIRST = 72 + 28


def read(content: bytes) -> dict[str, tuple[int, bytes]]:
    """Name -> attributes and content of every variable of a store."""
    found, place = {}, FIRST
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


def revoked(count: int) -> bytes:
    """A signature list of that many digests."""
    return signature_lists([Signature.digest(bytes([count % 256]) * 32)] * count, GLOBAL)


def test_keys_are_written_and_secure_boot_is_on(sdk: Sdk, tmp_path: Path) -> None:
    contents = {"PK": revoked(1), "KEK": revoked(2), "db": revoked(3), "dbx": b""}
    made = enroll(sdk.root, open_home().cache, contents, tmp_path / "vars.fd").read_bytes()
    assert len(made) == (sdk.root / DEFAULT.board.variables.lstrip("/")).stat().st_size
    assert read(made) == {
        **{name: (0x27, contents[name]) for name in ("PK", "KEK", "db")},
        "SecureBootEnable": (0x03, b"\x01"),
    }


def test_the_same_keys_give_the_same_bytes(sdk: Sdk, tmp_path: Path) -> None:
    one, other = (
        enroll(sdk.root, open_home().cache, {"PK": revoked(1)}, tmp_path / name).read_bytes()
        for name in ("one.fd", "other.fd")
    )
    assert one == other


def test_keys_that_do_not_fit_are_an_error(sdk: Sdk, tmp_path: Path) -> None:
    with pytest.raises(ColvertError) as caught:
        enroll(sdk.root, open_home().cache, {"dbx": revoked(6000)}, tmp_path / "vars.fd")
    assert caught.value.code is Code.TOO_LARGE
    assert not (tmp_path / "vars.fd").exists()
