"""Releases for the tests of updates: small files under a signed index, and servers that misbehave.

The envelope and the index are those of docs/reference/update-index.md.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

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


@dataclass
class Server:
    """What is served by name, how, and what was asked for."""

    files: dict[str, bytes]
    # by the end of a file's name; any other is answered as it should be
    behave: dict[str, Callable[[Handler, bytes], None]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    port: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def count(self, name: str) -> int:
        return sum(asked == name for asked, _ in self.asked)


class Handler(BaseHTTPRequestHandler):
    """One connection; it ends after one answer."""

    protocol_version = "HTTP/1.1"
    server_of: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def head(self, status: int, length: int | None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()

    def start(self) -> int:
        """Where in the file the client wants to begin."""
        asked = self.headers["Range"]
        return int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0

    def right(self, data: bytes, until: int | None = None) -> None:
        """The answer that is asked for; the connection breaks at `until`."""
        begin = self.start()
        if begin >= len(data):
            self.head(416, 0)
            return
        headers = {"Content_Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"} if begin else {}
        self.head(206 if begin else 200, len(data) - begin, **headers)
        self.wfile.write(data[begin:until])

    def do_GET(self) -> None:
        server, name = self.server_of, self.path.lstrip("/")
        server.asked.append((name, self.headers["Range"]))
        self.close_connection = True
        data = server.files.get(name)
        special = [act for end, act in server.behave.items() if name.endswith(end)]
        with suppress(OSError):
            if special:
                special[0](self, data or b"")
            elif data is None:
                self.head(404, 0)
            else:
                self.right(data)


@contextmanager
def serve(files: Mapping[str, bytes], **behave: Callable[[Handler, bytes], None]) -> Iterator[Server]:
    """Run a server until the end of the block."""
    server = Server(dict(files), {name.replace("_", "."): act for name, act in behave.items()})
    handler = type("BoundHandler", (Handler,), {"server_of": server})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        http.daemon_threads = True
        server.port = http.server_address[1]
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            http.shutdown()
            thread.join()


# what no server should do


def dropping(handler: Handler, data: bytes) -> None:
    """Breaks off at each third of the file."""
    handler.right(data, min(len(data), handler.start() + len(data) // 3 + 1))


def dead(handler: Handler, data: bytes) -> None:
    """Takes the question and never answers."""
    handler.server_of.ended.wait(60)


def slow(handler: Handler, data: bytes) -> None:
    """Announces the right length, and sends a byte now and then."""
    handler.head(200, len(data))
    for byte in data:
        if handler.server_of.ended.wait(0.3):
            return
        handler.wfile.write(bytes([byte]))


def truncated(handler: Handler, data: bytes) -> None:
    """Has only the half of the file, and says so."""
    handler.right(data[: len(data) // 2])


def cut(handler: Handler, data: bytes) -> None:
    """Ends the answer early, as a server does that knows no lengths."""
    handler.head(200, None)
    handler.wfile.write(data[: len(data) // 2])


def longer(handler: Handler, data: bytes) -> None:
    """Has more than the index announces, and says so."""
    handler.right(data + b"x")


def endless(handler: Handler, data: bytes) -> None:
    """Does not stop where the file does."""
    handler.head(200, None)
    handler.wfile.write(data)
    while not handler.server_of.ended.is_set():
        handler.wfile.write(b"A" * 65536)


def garbage(handler: Handler, data: bytes) -> None:
    """The right length, and other bytes."""
    handler.right(bytes(byte ^ 0xFF for byte in data))


def nonsense(handler: Handler, data: bytes) -> None:
    """Does not even speak HTTP."""
    handler.wfile.write(b"\x00\xff" * 5000)


def loop(handler: Handler, data: bytes) -> None:
    """Sends the client round in circles."""
    handler.head(302, 0, Location=handler.path)


def elsewhere(handler: Handler, data: bytes) -> None:
    """Sends the client to a file of its own machine."""
    handler.head(302, 0, Location="file:///etc/passwd")


def wrong_part(handler: Handler, data: bytes) -> None:
    """Answers a question for a part with another one."""
    if not handler.start():
        handler.right(data, len(data) // 2)
        return
    handler.head(206, 100, Content_Range=f"bytes 0-99/{len(data)}")
    handler.wfile.write(data[:100])


def no_ranges(handler: Handler, data: bytes) -> None:
    """Breaks off once, and then begins from the start."""
    first = handler.server_of.count(handler.path.lstrip("/")) == 1
    handler.head(200, len(data))
    handler.wfile.write(data[: len(data) // 2] if first else data)
