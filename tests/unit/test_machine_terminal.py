"""Machine: the user's terminal on a guest's console, with a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import socket
import termios
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from builder.machine.terminal import attach


@dataclass
class Desk:
    """A user at a terminal (`user`, `tty`) and a guest behind a socket (`channel`, `guest`)."""

    user: int
    tty: int
    channel: socket.socket
    guest: socket.socket
    ended: list[bool]
    thread: threading.Thread

    def join(self) -> bool:
        self.thread.join(10)
        assert not self.thread.is_alive()
        return self.ended[0]


@pytest.fixture
def desk() -> Iterator[Desk]:
    user, tty = pty.openpty()
    channel, guest = socket.socketpair()
    ended: list[bool] = []
    thread = threading.Thread(target=lambda: ended.append(attach(channel, tty, tty)), daemon=True)
    thread.start()
    guest.settimeout(10)
    guest.sendall(b"login: ")
    assert os.read(user, 7) == b"login: "  # from here on the terminal is raw
    with channel, guest:
        yield Desk(user, tty, channel, guest, ended, thread)
    os.close(user)
    os.close(tty)


def test_keys_go_through_as_they_are(desk: Desk) -> None:
    os.write(desk.user, b"\x03root\r\x1a")
    said = b""
    while len(said) < 7:
        said += desk.guest.recv(64)
    assert said == b"\x03root\r\x1a"
    desk.guest.close()
    assert desk.join() is True


def test_the_escape_key_leaves(desk: Desk) -> None:
    os.write(desk.user, b"x\x1dy")
    assert desk.join() is False
    assert desk.guest.recv(64) == b"x"


def test_the_terminal_is_put_back(desk: Desk) -> None:
    assert not termios.tcgetattr(desk.tty)[3] & termios.ICANON
    desk.guest.close()
    desk.join()
    assert termios.tcgetattr(desk.tty)[3] & termios.ICANON


def test_input_that_ends_leaves_the_output_going() -> None:
    keys, typist = os.pipe()
    screen, out = os.pipe()
    channel, guest = socket.socketpair()
    os.close(typist)
    guest.sendall(b"still here")
    guest.shutdown(socket.SHUT_WR)
    with channel, guest:
        assert attach(channel, keys, out) is True
    assert os.read(screen, 64) == b"still here"
    for descriptor in (keys, screen, out):
        os.close(descriptor)
