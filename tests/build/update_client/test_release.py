"""A release that is found, and downloaded whole."""

from __future__ import annotations

import time
from pathlib import Path

from tests.build.update_client.machine import Machine
from tests.updates import Key, Published, publish, serve


def test_a_release_is_found(machine: Machine, release: Published, key: Key) -> None:
    with serve(release.signed(key)) as server:
        answer = machine.check(server.url)
        assert (answer.status, answer.code) == (0, "available")
        assert answer.report["release"]["version"] == "1.0.2"
        assert answer.report["release"]["whole_download"] == 375_000
        assert server.asked == ["GET /index.json"]
    state = machine.state()
    assert (state["found"], state["errors"], state["code"]) == ("1.0.2", 0, "")
    assert abs(state["last_check"] - time.time()) < 60
    # and from a directory
    assert not machine.call("status").report["last_error"]


def test_a_release_is_downloaded_whole(
    machine: Machine, release: Published, key: Key, tmp_path: Path
) -> None:
    files = release.signed(key)
    with serve(files) as server:
        assert machine.download(server.url).code == "done"
        assert machine.downloaded() == files
        # nothing is fetched twice
        server.asked.clear()
        assert machine.download(server.url).code == "done"
        assert server.asked == ["GET /index.json"]
    # what was downloaded is a source
    assert machine.check(str(machine.into)).code == "available"


def test_a_signature_of_the_root_hash_is_a_file_of_the_release(machine: Machine, key: Key) -> None:
    """The part that an index may have or not."""
    files = publish("1.0.2", sizes={"signature": 900}).signed(key)
    with serve(files) as server:
        answer = machine.download(server.url)
    assert answer.code == "done"
    assert answer.report["release"]["whole_download"] == 375_900
    assert machine.downloaded() == files


def test_memory(machine: Machine, key: Key) -> None:
    large = publish("1.0.2", sizes={"usr": 80_000_000})
    with serve(large.signed(key)) as server:
        answer = machine.download(server.url)
    assert answer.code == "done"
    assert answer.kib < 32 * 1024


def test_rate(machine: Machine, release: Published, key: Key) -> None:
    machine.put("etc/colvert/update.conf", "RATE=150000\n")
    with serve(release.signed(key)) as server:
        started = time.monotonic()
        assert machine.download(server.url).code == "done"
    assert time.monotonic() - started > 1.2
