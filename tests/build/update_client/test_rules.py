"""Releases that are not for this machine."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.build.update_client.machine import Machine
from tests.updates import Key, Published, publish, serve


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"expires": int(time.time()) - 1}, "expired"),
        ({"channel": "testing"}, "channel"),
        ({"image_id": "other"}, "image-id"),
        ({"architecture": "aarch64"}, "architecture"),
        ({"version": "1.0.0"}, "older"),
        ({"version": "1.0.1~rc"}, "format"),
        ({"from_at_least": "1.0.2"}, "from-at-least"),
        ({"format": 2}, "format"),
        ({"root_hash": "x"}, "format"),
        ({"version": "1.0.1"}, "running"),
    ],
)
def test_refused(machine: Machine, release: Published, key: Key, changes: dict[str, Any], code: str) -> None:
    with serve(release.signed(key, **changes)) as server:
        answer = machine.check(server.url)
        assert answer.code == code
        assert answer.status == (0 if code == "running" else 2)
        if code not in ("older", "from-at-least", "running"):
            assert machine.download(server.url).code == code
            assert machine.downloaded() == {}


def test_older_only_when_told_so(machine: Machine, release: Published, key: Key) -> None:
    with serve(release.signed(key, version="1.0.0")) as server:
        assert machine.check(server.url, "--version", "1.0.0").code == "older"
        assert machine.check(server.url, "--allow-older").code == "usage"
        assert machine.check(server.url, "--version", "1.0.0", "--allow-older").code == "available"


def test_what_failed_here_before(machine: Machine, release: Published, key: Key) -> None:
    record = {
        "version": "1.0.2",
        "kind": "panic",
        "reason": "no \x1b[2Jinit",
        "when": 1790000000,
        "attempts": 3,
    }
    machine.put("var/lib/colvert/failed/1.0.2/record.json", json.dumps(record))
    with serve(release.signed(key)) as server:
        answer = machine.check(server.url)
        assert (answer.status, answer.code) == (2, "failed-before")
        assert "panic" in answer.report["message"]
        assert machine.check(server.url, "--allow-failed").code == "available"
        assert machine.state()["errors"] == 0
        # another release is not held up
        server.files.update(publish("1.0.3").signed(key))
        assert machine.check(server.url).code == "available"
        # a record that cannot be read is one
        machine.put("var/lib/colvert/failed/1.0.3/record.json", "{")
        assert machine.check(server.url).code == "failed-before"
    failed = machine.call("status").report["failed"]
    assert [one["version"] for one in failed] == ["1.0.3", "1.0.2"]
    assert failed[1]["reason"] == "no ?[2Jinit"
