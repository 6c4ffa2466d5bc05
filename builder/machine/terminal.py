"""Connection of the user's terminal with a guest's serial console."""

from __future__ import annotations

import os
import select
import socket
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

ESCAPE = b"\x1d"  # Ctrl-], as telnet has it: no shell or editor needs it


@contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """Every key goes through as it is, Ctrl-C too; the terminal is put back whatever happens."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def attach(channel: socket.socket, keys: int, screen: int) -> bool:
    """Pass bytes both ways until the machine ends (True) or the user types Ctrl-] (False)."""
    sources: list[int] = [channel.fileno(), keys]
    with raw(keys):
        while True:
            ready, _, _ = select.select(sources, [], [])
            if channel.fileno() in ready:
                try:
                    data = channel.recv(65536)
                except ConnectionResetError:
                    data = b""
                if not data:
                    return True
                _write_all(screen, data)
            if keys in ready:
                typed = os.read(keys, 4096)
                before, escape, _ = typed.partition(ESCAPE)
                try:
                    channel.sendall(before)
                except (BrokenPipeError, ConnectionResetError):
                    return True
                if escape:
                    return False
                if not typed:
                    sources.remove(keys)  # end of input: go on showing


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
