"""A site: a plain HTTP server on the host's loopback with releases, which guests reach at 10.0.2.2."""

from __future__ import annotations

import functools
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# the host, as a guest of QEMU's user network sees it
HOST_ADDRESS = "10.0.2.2"


@dataclass
class Site:
    """A served directory, and how many bytes of each file went out."""

    root: Path
    port: int = 0
    sent: Counter[str] = field(default_factory=Counter)

    @property
    def url(self) -> str:
        return f"http://{HOST_ADDRESS}:{self.port}"

    def reset(self) -> None:
        self.sent.clear()

    def bytes_sent(self) -> int:
        return sum(self.sent.values())


class Handler(SimpleHTTPRequestHandler):
    """The standard library's own, which knows no ranges; it only counts."""

    site: Site

    def log_message(self, format: str, *args: object) -> None:
        pass

    def copyfile(self, source: object, outputfile: object) -> None:
        before = source.tell()  # type: ignore[attr-defined]
        super().copyfile(source, outputfile)  # type: ignore[arg-type]
        self.site.sent[self.path.rpartition("/")[2]] += source.tell() - before  # type: ignore[attr-defined]


@contextmanager
def serve_site(root: Path) -> Iterator[Site]:
    """Serve a directory while the block runs."""
    site = Site(root)
    handler = type("ItsHandler", (Handler,), {"site": site})
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(root))) as server:
        site.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
