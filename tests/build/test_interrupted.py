"""A build that is killed or interrupted at any moment loses nothing and leaves nothing running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builder.pipeline.store import Store
from tests.build.conftest import Workshop

SCRIPT = """
import signal
import sys
from pathlib import Path
from builder.cli.failures import exit_codes
from builder.sandbox.home import Home
from builder.sandbox.sdk import Sdk
from tests.build.conftest import Workshop
# whoever started the tests may have had interrupts switched off, as nohup has
signal.signal(signal.SIGINT, signal.default_int_handler)
home, root, identity, overlay = sys.argv[1:]
with exit_codes():
    Workshop(Home(Path(home)), Sdk(Path(root), identity), Path(overlay)).build("app-misc/slow")
"""


def _start(workshop: Workshop) -> subprocess.Popen[bytes]:
    words = [str(workshop.home.root), str(workshop.sdk.root), workshop.sdk.id, str(workshop.overlay)]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *words], cwd=Path(__file__).parents[2], stderr=subprocess.PIPE
    )


def _running(token: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if token.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def _wait_until(what: str, workshop: Workshop, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        log = workshop.log("app-misc/slow-1")
        if log is not None and what in log.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"{what} was not reached")


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_killed_build_goes_on_from_where_it_was(workshop: Workshop, sent: int, status: int) -> None:
    workshop.ebuild("app-misc/first-1", "src_install() { :; }")
    slow = 'DEPEND="app-misc/first"\nsrc_compile() { echo REACHED; sleep 31.4159; }\nsrc_install() { :; }'
    workshop.ebuild("app-misc/slow-1", slow)
    process = _start(workshop)
    _wait_until("REACHED", workshop, process)
    os.kill(process.pid, sent)
    _, said = process.communicate(timeout=30)
    assert process.returncode == status
    assert b"Traceback" not in said
    deadline = time.monotonic() + 10
    while _running("31.4159") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _running("31.4159") == []
    assert [e.record.label for e in Store(workshop.home.store).entries() if e.record.stage == "package"] == [
        "app-misc/first-1"
    ]
    workshop.ebuild("app-misc/slow-1", slow.replace("sleep 31.4159", "true"))
    workshop.build("app-misc/slow")
    assert workshop.made() == ["app-misc/slow-1"]


def test_killed_at_any_moment_the_store_is_whole(workshop: Workshop) -> None:
    """Killed again and again, a little later each time; what is in the store is right, and more each time."""
    names = ["one", "two", "three", "slow"]
    for before, name in zip([None, *names], names, strict=False):
        needs = f'DEPEND="app-misc/{before}"\n' if before else ""
        body = "src_install() { insinto /usr/share; head -c 4M /dev/zero | newins - ${PN}; }"
        workshop.ebuild(f"app-misc/{name}-1", needs + body)
    workshop.plan("app-misc/slow")
    seen = 0
    # however long a package takes beside what else runs here
    for tries in range(60):
        process = _start(workshop)
        try:
            process.communicate(timeout=0.7 * 1.1**tries)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        store = Store(workshop.home.store)
        entries = [entry for entry in store.entries() if entry.record.stage == "package"]
        for entry in entries:
            store.check(entry.artifact)
        assert len(entries) >= seen
        seen = len(entries)
        if process.returncode == 0:
            break
    assert seen == len(names)
    assert tries > 1
    with_leftovers = Store(workshop.home.store)
    with_leftovers.prune()
    assert list((workshop.home.store / "tmp").iterdir()) == []


def test_two_builds_at_once_share_the_work(workshop: Workshop) -> None:
    body = 'src_compile() { sleep 4; }\nsrc_install() { insinto /usr/share; newins - data <<<"x"; }'
    workshop.ebuild("app-misc/slow-1", body)
    workshop.plan("app-misc/slow")
    processes = [_start(workshop), _start(workshop)]
    for process in processes:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said.decode()
    entries = [e for e in Store(workshop.home.store).entries() if e.record.stage == "package"]
    assert len(entries) == 1
