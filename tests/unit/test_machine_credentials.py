"""Machine: credentials and the checkout's key."""

from __future__ import annotations

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import Code, ColvertError
from builder.machine.credentials import KeyPair, checkout_key, smbios_values, ssh_credentials


@given(st.binary(max_size=200))
def test_any_content_travels(content: bytes) -> None:
    [value] = smbios_values({"some.name": content})
    name, _, encoded = value.partition("=")
    assert name == "io.systemd.credential.binary:some.name"
    assert "," not in encoded
    assert base64.b64decode(encoded) == content


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a/b", "a,b", "x" * 256])
def test_a_name_that_systemd_would_not_take(name: str) -> None:
    with pytest.raises(ColvertError) as caught:
        smbios_values({name: b""})
    assert caught.value.code is Code.USAGE


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    first = checkout_key(tmp_path)
    assert checkout_key(tmp_path) == first
    assert stat.S_IMODE(first.private.stat().st_mode) == 0o600
    assert stat.S_IMODE(first.private.parent.stat().st_mode) == 0o700
    assert [path.name for path in first.private.parent.iterdir()] == ["id_ed25519"]


def test_both_halves_belong_together(tmp_path: Path) -> None:
    key = checkout_key(tmp_path)
    private = load_ssh_private_key(key.private.read_bytes(), password=None)
    public = load_ssh_public_key(key.public.encode())
    assert private.public_key() == public
    assert key.public.startswith("ssh-ed25519 ")


def test_many_at_once_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: checkout_key(tmp_path), range(32)))
    assert len(keys) == 1


def test_a_damaged_key_says_what_to_do(tmp_path: Path) -> None:
    key = checkout_key(tmp_path)
    key.private.write_bytes(b"-----BEGIN OPENSSH PRIVATE KEY-----\n")
    with pytest.raises(ColvertError) as caught:
        checkout_key(tmp_path)
    assert caught.value.code is Code.USAGE
    assert str(key.private) in caught.value.hint


def test_ssh_gets_the_public_half_only(tmp_path: Path) -> None:
    key = KeyPair(tmp_path / "none", "ssh-ed25519 AAAA someone")
    assert ssh_credentials(key) == {"ssh.authorized_keys.root": "ssh-ed25519 AAAA someone\n"}
