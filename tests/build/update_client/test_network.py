"""Servers that break off, stall, lie and do not listen."""

from __future__ import annotations

import time

import pytest

from tests import server as http
from tests import updates
from tests.build.update_client.machine import Machine
from tests.server import Act, Handler
from tests.updates import Key, Published, serve


@pytest.mark.parametrize("behave", [updates.dropping, updates.no_ranges])
def test_a_connection_that_breaks_is_gone_on_from(
    machine: Machine, release: Published, key: Key, behave: Act
) -> None:
    files = release.signed(key)
    with serve(files, {release.name("usr"): behave}) as server:
        assert machine.download(server.url).code == "done"
        asked = [line for line in server.asked if release.name("usr") in line]
    assert machine.downloaded() == files
    assert ["bytes=" in line for line in asked] == [False, True, True][
        : 3 if behave is updates.dropping else 2
    ]


def test_a_later_call_goes_on_from_what_an_earlier_one_left(
    machine: Machine, release: Published, key: Key
) -> None:
    files, name = release.signed(key), release.name("usr")
    (machine.into / f"{name}.part").write_bytes(files[name][:123_456])
    with serve(files) as server:
        assert machine.download(server.url).code == "done"
        assert f"GET /{name} bytes=123456-" in server.asked
    assert machine.downloaded() == files
    # what is there and wrong, or longer than the whole, is not gone on from
    for wrong in (b"x" * 123_456, b"x" * 400_000, files[name] + b"x"):
        (machine.into / name).unlink()
        (machine.into / f"{name}.part").write_bytes(wrong)
        with serve(files) as server:
            first = machine.download(server.url)
            assert first.code == ("format" if len(wrong) < len(files[name]) else "done")
            assert machine.download(server.url).code == "done"
        assert machine.downloaded() == files


@pytest.mark.parametrize(
    ("behave", "code", "status"),
    [
        (updates.truncated, "format", 2),
        (updates.cut, "format", 2),
        (updates.longer, "format", 2),
        (http.endless, "format", 2),
        (updates.garbage, "format", 2),
        (http.nonsense, "network", 1),
        (updates.loop, "network", 1),
        (updates.elsewhere, "network", 1),
        (updates.wrong_part, "network", 1),
        (lambda handler: handler.head(404, 0), "network", 1),
        (lambda handler: handler.head(403, 0), "network", 1),
    ],
)
def test_a_bad_server_leaves_no_wrong_file(
    machine: Machine, release: Published, key: Key, behave: Act, code: str,
    status: int,
) -> None:  # fmt: skip
    files, name = release.signed(key), release.name("usr")
    with serve(files, {name: behave}) as server:
        started = time.monotonic()
        answer = machine.download(server.url)
        assert (answer.code, answer.status) == (code, status), answer.report
        assert time.monotonic() - started < 20
        # six in all, where it goes round
        assert server.count(name) <= 6
        left = machine.downloaded()
        # no index says that this directory is whole; what is left is the start of the file
        assert "index.json" not in left
        assert name not in left
        assert files[name].startswith(left.get(f"{name}.part", b""))
        # and once the server is well, so is everything
        server.behave.clear()
        assert machine.download(server.url).code == "done"
    assert machine.downloaded() == files


@pytest.mark.parametrize("behave", [http.dead, updates.slow])
def test_a_server_that_stalls_holds_nobody(
    machine: Machine, release: Published, key: Key, behave: Act
) -> None:
    with serve(release.signed(key), {"index.json": behave}) as server:
        started = time.monotonic()
        answer = machine.check(server.url)
        assert (answer.status, answer.code) == (1, "network")
        assert server.count("index.json") == 3
        assert time.monotonic() - started < 20


def test_a_busy_server_is_asked_again(machine: Machine, release: Published, key: Key) -> None:
    files = release.signed(key)

    def busy(handler: Handler) -> None:
        if handler.server_of.count("index.json") < 3:
            handler.head(503, 0)
        else:
            handler.send(handler.data)

    with serve(files, {"index.json": busy}) as server:
        assert machine.check(server.url).code == "available"


def test_nobody_listens(machine: Machine) -> None:
    answer = machine.check("http://127.0.0.1:9")
    assert (answer.status, answer.code) == (1, "network")
