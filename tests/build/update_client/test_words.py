"""The command line, what it says to people, and the order of versions."""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise

import pytest

from tests.build.update_client.machine import Machine
from tests.conftest import ROOT
from tests.updates import Key, Published, serve


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["dance"],
        ["check", "more"],
        ["status", "--reboot"],
        ["check", "--into", "x"],
        ["update", "--versio"],
        ["download"],
        ["check", "--version", "../x"],
        ["check", "--from", "file:///etc"],
        ["update"],
        ["rollback"],
    ],
)
def test_wrong_usage(machine: Machine, words: list[str]) -> None:
    answer = machine.call(*words)
    assert (answer.status, answer.code) == (2, "usage")


def test_words_for_people(machine: Machine, release: Published, key: Key) -> None:
    def say(*words: str) -> subprocess.CompletedProcess[str]:
        command = [*machine.program, "--root", str(machine.root), *words]
        return subprocess.run(command, capture_output=True, text=True, env={}, check=False)

    with serve(release.signed(key)) as server:
        assert say("check", "--from", server.url).stdout.startswith("Release 1.0.2 can be installed")
        done = say("download", "--from", server.url, "--into", str(machine.into))
        assert "300 of 300 kB" in done.stderr
    refused = say("check")
    assert refused.returncode == 2
    assert refused.stderr.startswith("colvert-update: no-source: ")
    assert "running:    colvert 1.0.1" in say("status").stdout
    assert "Examples:" in say("--help").stdout


def test_version_order_is_systemds() -> None:
    """The table that the C test holds our order against, held against systemd's."""
    source = ROOT / "overlays/colvert/sys-apps/colvert-update/files/test/test-version.c"
    table = source.read_text().partition("ascending[] = {")[2].partition("};")[0]
    versions = re.findall(r'"([^"]*)"', table)
    assert len(versions) > 30
    for lower, higher in pairwise(versions):
        said = subprocess.run(["systemd-analyze", "compare-versions", lower, "lt", higher], check=False)
        assert said.returncode == 0, (lower, higher)
