"""update.conf: where the source is, and lines that are wrong."""

from __future__ import annotations

import pytest

from tests.build.update_client.machine import STATE, Machine
from tests.updates import Key, Published, serve


def test_the_source_of_the_configuration(machine: Machine, release: Published, key: Key) -> None:
    assert machine.call("check").code == "no-source"
    with serve({f"stable/{name}": data for name, data in release.signed(key).items()}) as server:
        machine.put("etc/colvert/update.conf", f'# mine\nSOURCE="{server.url}/stable/"\n')
        assert machine.call("check").code == "available"
        assert machine.call("check", "--version", "1.0.2").code == "available"
        assert machine.call("check", "--version", "1.0.3").code == "network"


@pytest.mark.parametrize(
    "text",
    [
        "SOURCE=ftp://example.org\n",
        "SOURCE=relative\n",
        "REBOOT=perhaps\n",
        "RATE=fast\n",
        "RATE=-1\n",
        "KEXEC=1\n",
        "REBOOT=window\n",
        "SOURCE\n",
        'CHANNEL="stable\n',
        "CHANNEL=\n",
        "STALL_SECONDS=0\n",
    ],
)
def test_a_bad_configuration_is_told_and_not_guessed_at(machine: Machine, text: str) -> None:
    machine.put("etc/colvert/update.conf", "# one\n" + text)
    answer = machine.call("check", "--from", "http://127.0.0.1:9")
    assert (answer.status, answer.code) == (2, "usage")
    assert "/etc/colvert/update.conf" in answer.report["message"]


def test_a_bad_configuration_does_not_end_updates_silently(machine: Machine) -> None:
    """Nobody reads what the timer's call says: `status` has to tell."""
    assert machine.call("status").report["settings_error"] is None
    machine.put("etc/colvert/update.conf", "# one\nREBOOT=perhaps\n")
    told = machine.call("status")
    assert (told.status, told.report["last_error"]) == (0, None)
    assert "/etc/colvert/update.conf, line 2" in told.report["settings_error"]
    # by hand it is told whoever asks, and is no check
    assert machine.call("check").code == "usage"
    assert not (machine.root / STATE / "state.json").exists()
    assert machine.call("--automatic", "check").code == "usage"
    assert machine.call("status").report["last_error"]["code"] == "usage"
    # and a line that is corrected helps at the next look, not after a pause
    assert machine.state()["errors"] == 0
    # the version that runs is recorded all the same
    assert machine.call("booted").code == "usage"
    assert (machine.root / STATE / "defaults/1.0.1").exists()
