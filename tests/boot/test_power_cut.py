"""Boot: the power goes in the middle of an update, and the machine boots and takes it at the second try.

One update is run with all writes of the machine logged. From the log come the disks that a cut
at some moment could leave: what was flushed, and any part of what was not (`tests/crash.py`).
Each of them is booted.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from builder.machine.files import Host, Machine, machine
from builder.machine.probe import boot
from builder.machine.qemu import DISK_PATH, RUN_DIR, MachineSpec
from builder.sandbox.run import run
from tests.boot.updates import Client, Releases, published
from tests.booted import Warm, let_in, spec_of, up
from tests.build.places import find_partition, workplace
from tests.crash import FLUSH, Entry, cut, read_log

pytestmark = pytest.mark.boot

CUTS = 30
# those of the thirty that every run tries: one in the slot's writing, the last one
SAMPLE = (8, 29)
# those after which the machine is sent back too
BACK = (3, 26, 29)


@dataclass(frozen=True)
class Logged:
    """A disk before an update, the log of its machine's writes, and which of them are the update's."""

    before: Path
    log: Path
    entries: list[Entry]
    start: int
    end: int
    # the bytes of the disk where the new usr image goes
    slot: range

    def moments(self) -> list[int]:
        """When the power goes: always the same moments of one log, in their order but for the sample's first.

        That one is in the slot's writing, however long a log is.
        """
        found = sorted(random.Random(1).choices(range(self.start + 1, self.end + 1), k=CUTS))
        writes = [
            number
            for number, entry in enumerate(self.entries)
            if number >= self.start and entry.is_write and entry.offset in self.slot
        ]
        found[SAMPLE[0]] = random.Random(2).choice(writes[:-1]) + 1
        return found


@pytest.fixture(scope="module")
def releases(built: Path) -> Iterator[Releases]:
    with published(built) as found:
        found.offer("2")
        yield found


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    yield from workplace()


def _flatten(made: Machine, out: Path) -> Path:
    """The disk of a machine that is off as one raw file."""
    target = made.run / "disk.raw"
    argv = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", DISK_PATH, f"{RUN_DIR}/{target.name}"]
    run(argv, sandbox=made.sandbox())
    shutil.move(target, out)
    out.chmod(0o666)
    return out


@pytest.fixture(scope="module")
def spec(releases: Releases, host: Host) -> MachineSpec:
    [image] = (releases.out / "1/qemu").glob("*.qcow2")
    return spec_of(image, host)


@pytest.fixture(scope="module")
def logged(spec: MachineSpec, releases: Releases, host: Host, warm: Warm, place: Path) -> Iterator[Logged]:
    """A machine of version 1 that has proved itself is switched on again and updated."""
    with machine(warm(spec), host) as made:
        with boot(made) as running:
            booted = let_in(made, running)
            booted.ask(f"mkdir -p /etc/colvert; echo SOURCE={releases.site.url} > /etc/colvert/update.conf")
            booted.healthy()
            running.shutdown()
        before = _flatten(made, place / "before.raw")
    with machine(replace(spec, disk=before, log_writes=True), host) as made:
        with boot(made) as running:
            client = Client(let_in(made, running))
            client.booted.healthy()
            start = sum(1 for _ in read_log(made.write_log))
            client.done("update")
            entries = list(read_log(made.write_log))
        # the slot, the table twice, the boot entry: each is flushed
        assert sum(bool(entry.flags & FLUSH) for entry in entries[start:]) >= 4
        # an empty slot's first partition is its usr image's
        begin, size = find_partition(before, "_empty", sdk_root=host.sdk)
        yield Logged(before, made.write_log, entries, start, len(entries), range(begin, begin + size))
    before.unlink()


@contextmanager
def _survivor(logged: Logged, spec: MachineSpec, host: Host, number: int) -> Iterator[Client]:
    """The machine after a cut, when it has taken the update."""
    disk = logged.before.with_name(f"cut-{number}.raw")
    subprocess.run(["cp", "--sparse=always", logged.before, disk], check=True)
    cut(logged.log, logged.entries, disk, logged.moments()[number], seed=number)
    try:
        with up(replace(spec, disk=disk), host) as booted:
            client = Client(booted)
            booted.healthy()
            if client.version() == "1":
                assert client.done("update")["code"] == "pending"
                booted.reboot()
                booted.healthy()
            assert client.version() == "2"
            yield client
    finally:
        disk.unlink()


@pytest.mark.parametrize(
    "number",
    [pytest.param(number, marks=() if number in SAMPLE else pytest.mark.long) for number in range(CUTS)],
)
def test_a_cut_leaves_a_machine_that_boots_and_updates(
    logged: Logged, spec: MachineSpec, host: Host, number: int
) -> None:
    with _survivor(logged, spec, host, number) as client:
        assert "colvert_2.efi" in client.entries()
        assert client.done("status")["failed"] == []
        assert client.booted.running.problems() == ()


@pytest.mark.long
@pytest.mark.parametrize("number", BACK)
def test_after_a_cut_the_machine_can_still_go_back(
    logged: Logged, spec: MachineSpec, host: Host, number: int
) -> None:
    with _survivor(logged, spec, host, number) as client:
        client.booted.reboot("colvert-update rollback --reboot")
        client.booted.healthy()
        assert client.version() == "1"
        assert sorted(client.entries()) == ["colvert_1.efi", "colvert_2+0.efi"]
        assert client.booted.running.problems() == ()
