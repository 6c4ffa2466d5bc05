"""Releases for the tests of updates: small files under a signed index, and servers that misbehave.

The envelope and the index are those of docs/reference/update-index.md.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from tests import server
from tests.server import Act, Files, Handler

TYPE = "application/vnd.colvert.update-index.v1+json"
Key = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def pem(key: Key) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def key_id(key: Key) -> str:
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).hexdigest()


def sign(key: Key, payload: bytes, payload_type: str = TYPE) -> bytes:
    pae = b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload), payload)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(pae)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(pae, ec.ECDSA(hashes.SHA256()))
    return key.sign(pae, padding.PKCS1v15(), hashes.SHA256())


def envelope(payload: bytes, *keys: Key, payload_type: str = TYPE) -> bytes:
    signatures = [
        {"keyid": key_id(key), "sig": base64.b64encode(sign(key, payload, payload_type)).decode()}
        for key in keys
    ]
    text = base64.b64encode(payload).decode()
    return json.dumps({"payloadType": payload_type, "payload": text, "signatures": signatures}).encode()


@dataclass(frozen=True)
class Published:
    """A release's files by name, and its index before it is signed."""

    files: Mapping[str, bytes]
    index: Mapping[str, Any]

    def name(self, part: str) -> str:
        """The whole file of a part."""
        name: str = self.index["parts"][part]["files"][0]["name"]
        return name

    def signed(self, *keys: Key, **changes: Any) -> dict[str, bytes]:
        """All that a server has, with the index changed before it is signed."""
        index = {**self.index, **changes}
        text = envelope(json.dumps(index).encode(), *keys)
        return {"index.json": text, f"{index['version']}.json": text, **self.files}


def publish(
    version: str, *, sizes: Mapping[str, int] | None = None, architecture: str = "x86_64"
) -> Published:
    """A release of files that no machine could start, which is nothing to who only fetches them."""
    sizes = {"usr": 300_000, "verity": 5_000, "uki": 70_000, **(sizes or {})}
    files, parts = {}, {}
    for name, size in sizes.items():
        block = hashlib.sha512(f"{version} {name}".encode()).digest()
        data = (block * (size // len(block) + 1))[:size]
        digest = hashlib.sha256(data).hexdigest()
        files[f"{digest}.zst"] = data
        whole = {"name": f"{digest}.zst", "size": size, "sha256": digest, "from": None}
        parts[name] = {"size": 4 * size, "sha256": hashlib.sha256(data * 4).hexdigest(), "files": [whole]}
    now = int(time.time())
    index = {
        "format": 1,
        "image_id": "colvert",
        "architecture": architecture,
        "channel": "stable",
        "version": version,
        "from_at_least": "1",
        "created": now,
        "expires": now + 86400,
        "root_hash": hashlib.sha256(version.encode()).hexdigest(),
        "parts": parts,
    }
    return Published(files, index)


def write(place: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        (place / name).write_bytes(data)


def serve(
    files: Mapping[str, bytes], behave: Mapping[str, Act] | None = None
) -> AbstractContextManager[Files]:
    """Serve a release's files until the end of the block."""
    return server.serve(Files(dict(files), behave=dict(behave or {})))


# what no server should do


def dropping(handler: Handler) -> None:
    """Breaks off at each third of the file."""
    handler.send(handler.data, min(len(handler.data), handler.start() + len(handler.data) // 3 + 1))


def slow(handler: Handler) -> None:
    """Announces the right length, and sends a byte now and then."""
    handler.head(200, len(handler.data))
    for byte in handler.data:
        if handler.server_of.ended.wait(0.3):
            return
        handler.wfile.write(bytes([byte]))


def truncated(handler: Handler) -> None:
    """Has only the half of the file, and says so."""
    handler.send(handler.data[: len(handler.data) // 2])


def cut(handler: Handler) -> None:
    """Ends the answer early, as a server does that knows no lengths."""
    handler.head(200, None)
    handler.wfile.write(handler.data[: len(handler.data) // 2])


def longer(handler: Handler) -> None:
    """Has more than the index announces, and says so."""
    handler.send(handler.data + b"x")


def garbage(handler: Handler) -> None:
    """The right length, and other bytes."""
    handler.send(bytes(byte ^ 0xFF for byte in handler.data))


def loop(handler: Handler) -> None:
    """Sends the client round in circles."""
    handler.head(302, 0, Location=handler.path)


def elsewhere(handler: Handler) -> None:
    """Sends the client to a file of its own machine."""
    handler.head(302, 0, Location="file:///etc/passwd")


def wrong_part(handler: Handler) -> None:
    """Answers a question for a part with another one."""
    if not handler.start():
        handler.send(handler.data, len(handler.data) // 2)
        return
    handler.head(206, 100, Content_Range=f"bytes 0-99/{len(handler.data)}")
    handler.wfile.write(handler.data[:100])


def no_ranges(handler: Handler) -> None:
    """Breaks off once, and then begins from the start."""
    first = handler.server_of.count(handler.path.lstrip("/")) == 1
    handler.head(200, len(handler.data))
    handler.wfile.write(handler.data[: len(handler.data) // 2] if first else handler.data)
