"""The timer: its pauses, and the state that it keeps."""

from __future__ import annotations

import json
import time

import pytest

from tests.build.update_client.machine import STATE, Machine
from tests.updates import Key, Published, serve

# The clock of the timer, of the back-off and of its end.
PAUSE, LONGEST = 45 * 60, 24 * 3600


def test_back_off(machine: Machine, release: Published, key: Key) -> None:
    expected = [PAUSE * 2**number for number in range(5)] + [LONGEST]
    for number, pause in enumerate(expected, 1):
        machine.check("http://127.0.0.1:9")
        state = machine.state()
        assert state["errors"] == number
        assert state["next_attempt"] - state["last_check"] == min(pause, LONGEST)
    assert machine.call("--automatic", "update", "--from", "http://127.0.0.1:9").code == "later"
    status = machine.call("status").report
    assert status["last_error"]["code"] == "network"
    assert status["next_check"] > time.time()
    # a person is not made to wait, and a good answer ends it
    with serve(release.signed(key)) as server:
        assert machine.check(server.url).code == "available"
    assert machine.state()["errors"] == 0
    # a clock that was in the future does not stop all checks
    machine.put(
        f"{STATE}/state.json", json.dumps({"errors": 3, "next_attempt": int(time.time()) + 9 * LONGEST})
    )
    assert machine.call("--automatic", "update", "--from", "http://127.0.0.1:9").code == "usage"


def test_the_timer_without_a_source_does_nothing(machine: Machine) -> None:
    answer = machine.call("--automatic", "update")
    assert (answer.status, answer.code) == (0, "no-source")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"errors": "x", "next_attempt": -5}', "\x00" * 100])
def test_a_state_that_cannot_be_read_is_none(machine: Machine, text: str) -> None:
    machine.put(f"{STATE}/state.json", text)
    assert machine.call("status").report["errors"] == 0


def test_a_state_that_cannot_be_written_changes_no_answer(
    machine: Machine, release: Published, key: Key
) -> None:
    """Not even root writes below a file."""
    machine.put(STATE, "")
    with serve(release.signed(key)) as server:
        good = machine.check(server.url)
    bad = machine.check("http://127.0.0.1:9")
    assert [(one.status, one.code) for one in (good, bad)] == [(0, "available"), (1, "network")]
    for answer in (good, bad):
        assert f"/{STATE}/state.json cannot be written: Not a directory." in answer.errors
