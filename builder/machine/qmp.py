"""QMP client: QEMU's control channel (JSON, one message a line)."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from builder.errors import Code, ColvertError

CONNECT_SECONDS = 30.0
ANSWER_SECONDS = 60.0

Json = dict[str, Any]


def connect(path: Path, timeout: float, alive: Callable[[], bool] = lambda: True) -> socket.socket:
    """Connect to a UNIX socket that another program is about to make.

    The path goes through an open directory, since a socket's own path may have 107 bytes only
    and a checkout lies where its owner likes.
    """
    end = time.monotonic() + timeout
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        while True:
            channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                channel.connect(f"/proc/self/fd/{directory}/{path.name}")
                return channel
            except (FileNotFoundError, ConnectionRefusedError):
                channel.close()
            if not alive() or time.monotonic() >= end:
                raise ColvertError(Code.BOOT_FAILED, f"no listener on {path.name}: QEMU did not start")
            time.sleep(0.02)
    finally:
        os.close(directory)


class Qmp:
    """One connection; commands wait for their answer, events are kept until asked for."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._buffer = b""
        self._events: list[Json] = []
        greeting = self._message(time.monotonic() + ANSWER_SECONDS)
        if "QMP" not in greeting:
            raise ColvertError(Code.BOOT_FAILED, "QEMU's control channel does not speak QMP")
        self.version: Json = greeting["QMP"]["version"]["qemu"]
        self.execute("qmp_capabilities")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def execute(
        self, name: str, arguments: Mapping[str, Any] | None = None, timeout: float = ANSWER_SECONDS
    ) -> Any:
        """Run a QMP command and return its result."""
        request: Json = {"execute": name}
        if arguments:
            request["arguments"] = dict(arguments)
        end = time.monotonic() + timeout
        try:
            self._channel.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise _closed(name) from error
        while True:
            try:
                answer = self._message(end)
            except TimeoutError:
                raise ColvertError(
                    Code.BOOT_FAILED, f"QEMU did not answer {name} in {timeout:.0f} s"
                ) from None
            if "event" in answer:
                self._events.append(answer)
            elif "error" in answer:
                raise ColvertError(
                    Code.BOOT_FAILED, f"QEMU refused {name}: {answer['error'].get('desc', '')}"
                )
            else:
                return answer["return"]

    def monitor(self, line: str) -> str:
        """Run a line of the human monitor: `info usernet` and the like have no QMP command."""
        return str(self.execute("human-monitor-command", {"command-line": line}))

    def events(self, name: str | None = None) -> list[Json]:
        """Every event so far, oldest first, of one name or all."""
        while (message := self._waiting()) is not None:
            if "event" in message:
                self._events.append(message)
        return [event for event in self._events if name is None or event["event"] == name]

    def _waiting(self) -> Json | None:
        """A message that needs no waiting for."""
        try:
            return self._message(time.monotonic())
        except (TimeoutError, ColvertError):
            return None

    def _message(self, end: float) -> Json:
        while b"\n" not in self._buffer:
            # at least a moment, so that what already arrived is read even when no time is left
            self._channel.settimeout(max(0.001, end - time.monotonic()))
            try:
                chunk = self._channel.recv(65536)
            except TimeoutError:
                if time.monotonic() >= end:
                    raise
                continue
            except OSError as error:
                raise _closed("the connection") from error
            if not chunk:
                raise _closed("the connection")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            message = json.loads(line)
        except ValueError as error:
            raise ColvertError(Code.BOOT_FAILED, "QEMU's control channel sent invalid JSON") from error
        if not isinstance(message, dict):
            raise ColvertError(Code.BOOT_FAILED, "QEMU's control channel sent JSON other than an object")
        return message


def _closed(what: str) -> ColvertError:
    return ColvertError(Code.BOOT_FAILED, f"QEMU's control channel closed during {what}")
