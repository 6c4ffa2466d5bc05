"""Keys, rings, and what nobody of them signed."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests import updates
from tests.build.update_client.machine import Machine
from tests.updates import Key, Published, serve


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_other_kinds_of_keys(machine: Machine, release: Published, key: Key, kind: str) -> None:
    other: Key = (
        ec.generate_private_key(ec.SECP256R1())
        if kind == "ecdsa"
        else rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    with serve(release.signed(other)) as server:
        assert machine.check(server.url).code == "signature"
        machine.put("usr/lib/colvert/keys/update/other.pem", updates.pem(other))
        assert machine.check(server.url).code == "available"
    with serve(release.signed(ed25519.Ed25519PrivateKey.generate(), key)) as server:
        assert machine.check(server.url).code == "available"


def test_signatures(machine: Machine, release: Published, key: Key) -> None:
    good = release.signed(key)["index.json"]
    stranger = ed25519.Ed25519PrivateKey.generate()
    payload = json.dumps(dict(release.index)).encode()
    envelope = json.loads(good)
    claims = {
        **envelope["signatures"][0],
        "sig": json.loads(release.signed(stranger)["index.json"])["signatures"][0]["sig"],
    }
    other = {**dict(release.index), "version": "9"}
    bad = {
        "of a stranger": updates.envelope(payload, stranger),
        "of nobody": updates.envelope(payload),
        "claimed": json.dumps({**envelope, "signatures": [claims]}).encode(),
        "of another payload": json.dumps(
            {**envelope, "payload": json.loads(updates.envelope(json.dumps(other).encode()))["payload"]}
        ).encode(),
    }
    for name, text in bad.items():
        with serve({"index.json": text}) as server:
            assert machine.check(server.url).code == "signature", name
    with serve({"index.json": updates.envelope(payload, key, payload_type="text/plain")}) as server:
        assert machine.check(server.url).code == "format"
    # an index by another name
    with serve({"1.0.9.json": good}) as server:
        assert machine.check(server.url, "--version", "1.0.9").code == "format"


def test_a_ring_that_is_no_ring(machine: Machine, release: Published, key: Key) -> None:
    with serve(release.signed(key)) as server:
        machine.put("usr/lib/colvert/keys/update/bad.pem", "-----BEGIN PUBLIC KEY-----\nAAAA\n")
        assert machine.check(server.url).code == "signature"
        (machine.root / "usr/lib/colvert/keys/update/bad.pem").unlink()
        (machine.root / "usr/lib/colvert/keys/update/test.pem").unlink()
        assert machine.check(server.url).code == "signature"
        machine.put("usr/lib/colvert/keys/update/dsa.pem", updates.pem(_weak()))
        assert machine.check(server.url).code == "signature"


def _weak() -> Key:
    return rsa.generate_private_key(public_exponent=65537, key_size=1024)
