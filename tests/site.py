"""A site: releases in a directory of the host, which guests reach at 10.0.2.2."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.server import Handler, Server

# the host, as a guest of QEMU's user network sees it
HOST_ADDRESS = "10.0.2.2"


@dataclass
class Site(Server):
    """A served directory, and how many bytes of each file went out; it knows no ranges."""

    root: Path
    sent: Counter[str] = field(default_factory=Counter)

    @property
    def url(self) -> str:
        return f"http://{HOST_ADDRESS}:{self.port}"

    def reset(self) -> None:
        self.sent.clear()

    def bytes_sent(self) -> int:
        return sum(self.sent.values())

    def content(self, path: str) -> bytes | None:
        file = self.root / path.lstrip("/")
        return file.read_bytes() if file.is_file() else None

    def right(self, handler: Handler) -> None:
        data = self.content(handler.path)
        handler.answer(404 if data is None else 200, data or b"")
        self.sent[handler.path.rpartition("/")[2]] += len(data or b"")
