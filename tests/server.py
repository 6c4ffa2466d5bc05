"""HTTP on the host's loopback: a server that answers right, or as wrong as a test wants it.

What is right: files by name (`Files`), a directory with releases (site.py), a cloud (metadata.py).
What is answered can be changed while it runs, a file or a behaviour at a time.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

Act = Callable[["Handler"], None]


@dataclass(kw_only=True)
class Server(ABC):
    """What is answered, and what was asked."""

    # by the end of the path, "" for every path; any other is answered as it should be
    behave: dict[str, Act] = field(default_factory=dict)
    # METHOD PATH [RANGE]
    asked: list[str] = field(default_factory=list)
    port: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def count(self, name: str) -> int:
        return sum(line.split()[1] == f"/{name}" for line in self.asked)

    @abstractmethod
    def content(self, path: str) -> bytes | None:
        """What is right under a path."""

    def right(self, handler: Handler) -> None:
        """Answer as it should be."""
        data = self.content(handler.path)
        if data is None:
            handler.answer(404, "<html>not found</html>")
        else:
            handler.send(data)


@dataclass
class Files(Server):
    """Files by their names."""

    files: dict[str, bytes] = field(default_factory=dict)

    def content(self, path: str) -> bytes | None:
        return self.files.get(path.lstrip("/"))


class Handler(BaseHTTPRequestHandler):
    """One connection; it ends after one answer."""

    protocol_version = "HTTP/1.1"
    server_of: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    @property
    def data(self) -> bytes:
        """What would be right."""
        return self.server_of.content(self.path) or b""

    def head(self, status: int, length: int | None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()

    def answer(self, status: int, body: str | bytes = b"", **headers: str) -> None:
        """The whole of something, whatever part was asked for."""
        data = body.encode() if isinstance(body, str) else body
        self.head(status, len(data), **headers)
        self.wfile.write(data)

    def start(self) -> int:
        """Where in the file the client wants to begin."""
        asked = self.headers["Range"]
        return int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0

    def send(self, data: bytes, until: int | None = None) -> None:
        """The part of a file that is asked for; the connection breaks at `until`."""
        begin = self.start()
        if begin and begin >= len(data):
            self.head(416, 0)
            return
        headers = {"Content_Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"} if begin else {}
        self.head(206 if begin else 200, len(data) - begin, **headers)
        self.wfile.write(data[begin:until])

    def _handle(self) -> None:
        server = self.server_of
        server.asked.append(f"{self.command} {self.path} {self.headers['Range'] or ''}".rstrip())
        self.close_connection = True
        special = (act for end, act in server.behave.items() if self.path.endswith(end))
        # who asked may have gone
        with suppress(OSError):
            next(special, server.right)(self)

    do_GET = do_PUT = _handle


Served = TypeVar("Served", bound=Server)


@contextmanager
def serve(server: Served) -> Iterator[Served]:
    """Run a server until the end of the block."""
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


def dead(handler: Handler) -> None:
    """Takes the question and never answers."""
    handler.server_of.ended.wait(120)


def nonsense(handler: Handler) -> None:
    """Does not even speak HTTP."""
    handler.wfile.write(b"\x00\xff" * 5000)


def endless(handler: Handler) -> None:
    """Does not stop where the file does, and is as fast as it goes."""
    handler.head(200, None)
    handler.wfile.write(handler.data)
    while not handler.server_of.ended.is_set():
        handler.wfile.write(b"A" * 65536)
