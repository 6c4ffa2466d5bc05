"""Answers that are no index."""

from __future__ import annotations

import pytest

from tests import server as http
from tests import updates
from tests.build.update_client.machine import Machine
from tests.server import Act
from tests.updates import Key, Published, serve


@pytest.mark.parametrize(
    ("behave", "code"),
    [
        (updates.loop, "network"),
        (updates.elsewhere, "network"),
        (http.nonsense, "network"),
        (http.endless, "format"),
        (updates.cut, "format"),
        (lambda handler: handler.answer(200, b"<html>portal</html>"), "format"),
        (lambda handler: handler.answer(200), "format"),
        (lambda handler: handler.answer(416), "network"),
        (lambda handler: handler.answer(200, b"\x00" * 2000), "format"),
        (lambda handler: handler.answer(200, b"{" * 2_000_000), "format"),
        # small enough, and hundreds of MiB once it is parsed
        (lambda handler: handler.answer(200, _many("{}")), "format"),
        (lambda handler: handler.answer(200, _many("0")), "format"),
    ],
)
def test_a_bad_index(machine: Machine, release: Published, key: Key, behave: Act, code: str) -> None:
    with serve(release.signed(key), {"index.json": behave}) as server:
        answer = machine.check(server.url)
        assert (answer.code, answer.report.get("release")) == (code, None)
        assert answer.kib < 32 * 1024


def _many(value: str) -> bytes:
    """As many values as an envelope has room for."""
    return f'{{"a":[{",".join([value] * (2**20 // len(value + ",") - 8))}]}}'.encode()
