"""Keys: the checkout's own, and those that a manifest names."""

from __future__ import annotations

import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed448, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from builder.errors import Code, ColvertError, Location
from builder.updates.keys import development_key, read_public

WHERE = Location("os.yaml", 3)


def pem(key: rsa.RSAPrivateKey | ed448.Ed448PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_the_key_is_made_once_for_its_owner_and_hidden_from_git(tmp_path: Path) -> None:
    state = tmp_path / ".colvert"
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: development_key(state).id, range(16)))
    assert len(ids) == 1
    [path] = (state / "keys").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (state / ".gitignore").read_text() == "*\n"


def test_another_checkout_has_another_key(tmp_path: Path) -> None:
    assert development_key(tmp_path / "a").id != development_key(tmp_path / "b").id


def test_the_id_is_the_digest_of_the_public_key(tmp_path: Path) -> None:
    public = development_key(tmp_path).public
    again = load_pem_public_key(public.pem)
    der = again.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert public.id == hashlib.sha256(der).hexdigest()
    assert read_public(public.pem, WHERE).id == public.id


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_damaged_key_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    development_key(tmp_path)
    path = tmp_path / "keys/release.pem"
    path.write_bytes(content)
    with pytest.raises(ColvertError) as caught:
        development_key(tmp_path)
    assert caught.value.code is Code.USAGE
    assert str(path) in caught.value.hint


def test_keys_that_machines_do_not_know_are_refused(tmp_path: Path) -> None:
    private = Ed25519PrivateKey.generate()
    raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    short = pem(rsa.generate_private_key(65537, 1024))
    for content in (b"", b"-----BEGIN PUBLIC KEY-----", raw, pem(ed448.Ed448PrivateKey.generate()), short):
        with pytest.raises(ColvertError) as caught:
            read_public(content, WHERE)
        assert (caught.value.code, caught.value.where) == (Code.MANIFEST_INVALID, WHERE)
