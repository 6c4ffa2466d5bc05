"""The envelope: what is signed, who may have signed it, and what happens to all others."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import Code, ColvertError
from builder.updates.dsse import Envelope, Signature, pae, parse, sign, verify
from builder.updates.keys import PublicKey, Signer

OWN, OTHER = (Signer(Ed25519PrivateKey.from_private_bytes(bytes([number] * 32))) for number in (1, 2))
KIND = "application/vnd.colvert.test"


def refused(data: bytes, kind: str = KIND, ring: list[PublicKey] | None = None) -> ColvertError:
    with pytest.raises(ColvertError) as caught:
        verify(parse(data), kind, [OWN.public] if ring is None else ring)
    assert caught.value.code is Code.RELEASE_INVALID
    return caught.value


def test_pae_is_the_specifications() -> None:
    # the example of DSSE's protocol.md
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("\u00e9", b"") == b"DSSEv1 2 \xc3\xa9 0 "


@given(st.text(), st.binary(), st.text(), st.binary())
def test_no_two_contents_are_signed_alike(one: str, data: bytes, other: str, more: bytes) -> None:
    assert (pae(one, data) == pae(other, more)) == ((one, data) == (other, more))


@given(st.binary(max_size=500))
def test_what_was_signed_comes_out(payload: bytes) -> None:
    data = sign(KIND, payload, [OTHER, OWN]).to_bytes()
    assert verify(parse(data), KIND, [OWN.public]) == payload
    assert verify(parse(data), KIND, [OTHER.public]) == payload
    assert parse(data).to_bytes() == data


@given(st.binary(min_size=1, max_size=100), st.data())
def test_one_changed_bit_is_refused(payload: bytes, data: st.DataObject) -> None:
    whole = sign(KIND, payload, [OWN])
    number = data.draw(st.integers(0, 8 * len(payload) - 1))
    changed = bytearray(payload)
    changed[number // 8] ^= 1 << number % 8
    refused(whole.model_copy(update={"payload": base64.b64encode(changed).decode()}).to_bytes())
    signature = bytearray(base64.b64decode(whole.signatures[0].sig))
    signature[number % len(signature)] ^= 1
    damaged = Signature(keyid=OWN.id, sig=base64.b64encode(signature).decode())
    refused(whole.model_copy(update={"signatures": [damaged]}).to_bytes())


@given(st.data())
def test_no_piece_of_an_envelope_is_one(data: st.DataObject) -> None:
    whole = sign(KIND, b"payload", [OWN]).to_bytes().rstrip()
    refused(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.binary(max_size=200))
def test_garbage_is_refused(garbage: bytes) -> None:
    refused(garbage)


def test_a_stranger_with_our_key_id_is_refused() -> None:
    whole = sign(KIND, b"payload", [OTHER])
    assert "not signed by any of the trusted keys" in refused(whole.to_bytes()).what
    forged = [Signature(keyid=OWN.id, sig=whole.signatures[0].sig)]
    refused(whole.model_copy(update={"signatures": forged}).to_bytes())
    refused(whole.to_bytes(), ring=[])


def test_the_key_id_is_a_hint_only() -> None:
    whole = sign(KIND, b"payload", [OWN])
    unnamed = [Signature(sig=whole.signatures[0].sig)]
    assert verify(parse(whole.model_copy(update={"signatures": unnamed}).to_bytes()), KIND, [OWN.public])


def test_another_kind_of_payload_is_refused() -> None:
    data = sign(KIND, b"payload", [OWN]).to_bytes()
    refused(data, kind=f"{KIND}2")
    relabelled = parse(data).model_copy(update={"payload_type": f"{KIND}2"}).to_bytes()
    refused(relabelled, kind=f"{KIND}2")


def test_without_a_signature_it_is_none() -> None:
    whole = json.loads(sign(KIND, b"payload", [OWN]).to_bytes())
    refused(json.dumps({**whole, "signatures": []}).encode())
    refused(json.dumps({**whole, "payload": "a"}).encode())
    refused(json.dumps({**whole, "payload": "YQ==\n"}).encode())


def test_ecdsa_and_rsa_keys_of_a_ring() -> None:
    message = pae(KIND, b"payload")
    curve = ec.generate_private_key(ec.SECP256R1())
    numbers = rsa.generate_private_key(65537, 2048)
    for public, signature in (
        (PublicKey(curve.public_key()), curve.sign(message, ec.ECDSA(SHA256()))),
        (PublicKey(numbers.public_key()), numbers.sign(message, PKCS1v15(), SHA256())),
    ):
        whole = sign(KIND, b"payload", [OTHER])
        added = [*whole.signatures, Signature(keyid=public.id, sig=base64.b64encode(signature).decode())]
        envelope = whole.model_copy(update={"signatures": added})
        assert verify(Envelope.model_validate_json(envelope.to_bytes()), KIND, [public]) == b"payload"
        refused(whole.to_bytes(), ring=[public])
