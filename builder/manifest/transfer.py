"""Git transfers, each in a process of its own that ends when nothing comes any more.

libgit2 has limits for a silent server, but none for one that sends a byte now and then, and its
calls cannot be interrupted from another thread.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import pygit2
from pygit2.enums import Option
from pygit2.remotes import TransferProgress

CONNECT_SECONDS = 10.0
# nothing at all for this long, or not one block, and the server is given up
SILENT_SECONDS = 60.0
BLOCK = 16 << 10
# once everything has come, it is taken apart and indexed here, which may take its time
LOCAL_FACTOR = 10
REPORT_SECONDS = 0.5
# how libgit2 and OpenSSL say that one of its limits was reached
TIMED_OUT = re.compile("timed out|temporarily unavailable", re.IGNORECASE)


@dataclass(frozen=True)
class Transfer:
    """Refs to fetch into a repository; depth 0: with the whole history."""

    repository: str
    address: str
    refspecs: tuple[str, ...]
    depth: int = 0
    connect: float = field(default_factory=lambda: CONNECT_SECONDS)
    silent: float = field(default_factory=lambda: SILENT_SECONDS)


class TransferError(Exception):
    """A transfer that failed; `stalled`: the server does not answer, so a retry is useless."""

    def __init__(self, what: str, *, stalled: bool = False) -> None:
        super().__init__(what)
        self.stalled = stalled


def transfer(wanted: Transfer) -> None:
    """Fetch; raises TransferError, in finite time whatever the server does."""
    with _started() as process:
        assert process.stdin is not None
        # where it could not even start, its end says so
        with suppress(BrokenPipeError), process.stdin as stream:
            # not on its command line, which everybody on the machine can read
            stream.write(json.dumps(asdict(wanted)).encode())
        _watch(process, wanted)


@contextmanager
def _started() -> Iterator[subprocess.Popen[bytes]]:
    """A process that fetches; it does not outlive the block."""
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


def _watch(process: subprocess.Popen[bytes], wanted: Transfer) -> None:
    """Wait for the end, as long as there is progress."""
    assert process.stdout is not None
    pending, last, local = b"", time.monotonic(), False
    while True:
        limit = wanted.silent * (LOCAL_FACTOR if local else 1)
        left = last + limit - time.monotonic()
        if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
            raise TransferError(f"no data for {limit:.0f} seconds", stalled=True)
        block = os.read(process.stdout.fileno(), 1 << 16)
        if not block:
            raise TransferError(f"the transfer failed with status {process.wait()}")
        *lines, pending = (pending + block).split(b"\n")
        for line in lines:
            told = json.loads(line)
            if "end" in told:
                if told["end"]:
                    raise TransferError(told["end"], stalled=told["stalled"])
                return
            last, local = time.monotonic(), bool(told["local"])


# --- the process that fetches ----------------------------------------------------------


class _Progress(pygit2.RemoteCallbacks):
    """Reports every step forward, but not each byte."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: tuple[int, ...] = ()
        self._next = 0.0
        self._local = False

    def sideband_progress(self, string: str) -> None:
        self._report(local=False)

    def transfer_progress(self, stats: TransferProgress) -> None:
        seen = (
            stats.received_bytes // BLOCK,
            stats.received_objects,
            stats.indexed_objects,
            stats.indexed_deltas,
        )
        if seen != self._seen:
            self._seen = seen
            self._report(local=stats.received_objects == stats.total_objects)

    def _report(self, *, local: bool) -> None:
        if time.monotonic() >= self._next or local != self._local:
            self._next, self._local = time.monotonic() + REPORT_SECONDS, local
            _tell(local=local)


def _tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


def _proxy(address: str) -> str | Literal[True]:
    """The proxy: git's configuration and http_proxy are libgit2's business; it has no all_proxy."""
    parts, proxies = urlsplit(address), getproxies()
    found = proxies.get("all", "")
    if parts.scheme not in ("http", "https") or parts.scheme in proxies or not found:
        return True
    if proxy_bypass(parts.hostname or ""):
        return True
    return found if "://" in found else f"http://{found}"


def _fetch(wanted: Transfer) -> None:
    # read only, and nothing of the repository is executed: its owner does not matter
    pygit2.option(Option.SET_OWNER_VALIDATION, 0)
    pygit2.settings.server_connect_timeout = int(wanted.connect * 1000)
    pygit2.settings.server_timeout = int(wanted.silent * 1000)
    remote = pygit2.Repository(wanted.repository).remotes.create_anonymous(wanted.address)
    remote.fetch(
        list(wanted.refspecs), callbacks=_Progress(), depth=wanted.depth, proxy=_proxy(wanted.address)
    )


def _main(words: Sequence[str]) -> None:
    given = json.loads("".join(words))
    wanted = Transfer(**{**given, "refspecs": tuple(given["refspecs"])})
    try:
        _fetch(wanted)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:  # whatever libgit2 and a foreign server come up with is told to the parent
        what = str(error) or type(error).__name__
        _tell(end=what, stalled=TIMED_OUT.search(what) is not None)
    else:
        _tell(end="")


if __name__ == "__main__":
    _main(sys.stdin.readlines())
