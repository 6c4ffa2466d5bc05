"""Machine: the QMP client, against a peer that speaks line by line."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import Code, ColvertError
from builder.machine.qmp import Qmp, connect

GREETING = b'{"QMP": {"version": {"qemu": {"major": 10, "minor": 0, "micro": 2}}, "capabilities": []}}\r\n'
DONE = b'{"return": {}}\r\n'


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def client(pair: tuple[socket.socket, socket.socket], answers: bytes = b"") -> Qmp:
    ours, theirs = pair
    theirs.sendall(GREETING + DONE + answers)
    return Qmp(ours)


def test_greets_and_answers(pair: tuple[socket.socket, socket.socket]) -> None:
    qmp = client(pair, b'{"return": "text"}\r\n')
    assert qmp.version["major"] == 10
    assert qmp.monitor("info version") == "text"
    sent = pair[1].recv(4096).decode().splitlines()
    assert sent[0] == '{"execute": "qmp_capabilities"}'
    assert '"command-line": "info version"' in sent[1]


def test_events_between_answers_are_kept(pair: tuple[socket.socket, socket.socket]) -> None:
    qmp = client(pair, b'{"event": "RESET", "data": {"guest": true}}\r\n' + DONE + b'{"event": "STOP"}\r\n')
    qmp.execute("query-status")
    assert [event["event"] for event in qmp.events()] == ["RESET", "STOP"]
    assert len(qmp.events("RESET")) == 1
    assert len(qmp.events("RESET")) == 1


def test_messages_in_pieces(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair

    def trickle() -> None:
        for byte in GREETING + DONE:
            theirs.sendall(bytes([byte]))

    peer = threading.Thread(target=trickle)
    peer.start()
    assert Qmp(ours).version["minor"] == 0
    peer.join()


def test_half_an_event_is_not_lost(pair: tuple[socket.socket, socket.socket]) -> None:
    qmp = client(pair)
    pair[1].sendall(b'{"event": ')
    assert qmp.events() == []
    pair[1].sendall(b'"RESET"}\n')
    assert len(qmp.events("RESET")) == 1


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b'{"error": {"class": "GenericError", "desc": "no such thing"}}\n', "no such thing"),
        (b"not json\n", "invalid JSON"),
        (b"[1]\n", "other than an object"),
    ],
)
def test_a_bad_answer(pair: tuple[socket.socket, socket.socket], answer: bytes, text: str) -> None:
    with pytest.raises(ColvertError, match=text) as caught:
        client(pair, answer).execute("query-status")
    assert caught.value.code is Code.BOOT_FAILED


def test_no_answer_in_time(pair: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(ColvertError, match="did not answer"):
        client(pair).execute("query-status", timeout=0.1)


def test_a_peer_that_goes_away(pair: tuple[socket.socket, socket.socket]) -> None:
    qmp = client(pair)
    pair[1].close()
    assert qmp.events() == []
    with pytest.raises(ColvertError, match="closed"):
        qmp.execute("query-status")


def test_connects_where_the_path_is_too_long_for_a_socket(tmp_path: Path) -> None:
    deep = tmp_path
    for number in range(12):
        deep = deep / f"a-directory-with-a-long-name-{number}"
    deep.mkdir(parents=True)
    server = socket.socket(socket.AF_UNIX)
    with server:
        # bound from within, as QEMU does in its sandbox
        here = Path.cwd()
        try:
            os.chdir(deep)
            server.bind("qmp.sock")
        finally:
            os.chdir(here)
        server.listen()
        with connect(deep / "qmp.sock", 5) as channel:
            assert channel.fileno() > 0


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(ColvertError) as caught:
        connect(tmp_path / "qmp.sock", 30, alive=lambda: False)
    assert caught.value.code is Code.BOOT_FAILED
