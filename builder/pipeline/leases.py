"""Leases of a store: which keys and digests running builds use, so that pruning spares them.

A lease is a file that its process holds locked (flock, which other PID namespaces see too), with a name
a line. One that nobody holds is of a process that has ended.
"""

from __future__ import annotations

import os
import threading
import uuid
from pathlib import Path

from builder.pipeline.lock import held, lock


class Leases:
    """The leases below `directory`; one of them is this process's, made when it is first needed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.own = directory / uuid.uuid4().hex
        self._mutex = threading.Lock()
        self._fd: int | None = None

    def hold(self) -> int:
        """Hold this process's lease until it ends; its descriptor."""
        with self._mutex:
            if self._fd is None:
                self._fd = lock(self.own)
            assert self._fd is not None  # it waits
            return self._fd

    def add(self, name: str) -> None:
        """Note a key or digest as used by this process."""
        os.write(self.hold(), f"{name}\n".encode())

    def names(self) -> set[str]:
        """The keys and digests of running builds; leases of dead ones are removed."""
        found: set[str] = set()
        for path in self.directory.iterdir():
            if path == self.own:
                found.update(path.read_text().split())
                continue
            with held(path, wait=False, keep=False) as free:
                if not free:
                    found.update(path.read_text().split())
        return found

    def holders(self) -> set[str]:
        """The names of all leases, of which each begins the names of what its process has in tmp/."""
        return {path.name for path in self.directory.iterdir()}
