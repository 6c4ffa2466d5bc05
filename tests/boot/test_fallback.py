"""Boot: a version that fails leads back to the one before, by itself, and the machine says why.

Each machine starts with version 1, which has proved itself, and version 2, which is to be tried once
(in one case the usual three times). Nobody touches it until version 1 answers.
"""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from builder.machine.files import Host, machine
from builder.machine.guest import Guest
from builder.machine.probe import LOGIN_SECONDS, Running, boot
from tests.booted import Place, spec_of
from tests.build.places import open_place
from tests.slots import Disk, Release

pytestmark = pytest.mark.boot

BOOT_SECONDS = 2 * LOGIN_SECONDS
SETTLE_SECONDS = 600.0
FAILED = "/var/lib/colvert/failed"


@dataclass(frozen=True)
class Case:
    """What is wrong with version 2, and what has to come of it."""

    name: str
    kind: str
    reason: str
    # what the console shows of it
    console: str
    # seconds from switching on to version 1's login prompt, for each attempt and once for version 1
    bound: float
    words: tuple[str, ...] = ()
    # the file below /usr that is damaged, or a place in the file system's image
    damage: str | int | None = None
    empty: bool = False
    attempts: int = 1
    journal: str | None = None
    dump: str | None = None
    watchdog: bool = False
    full: bool = False
    truncated: bool = False


HEALTH = Case(
    "a health check that fails", "health", "/etc/colvert/health.d/50-test ended with status 3",
    r"This boot has failed \(health: /etc/colvert/health\.d/50-test ended with status 3\)", 300,
    words=("colvert.test=health",), journal="the web server does not answer",
)  # fmt: skip
READ_AT_BOOT = Case(
    "a bad block in a file read at boot", "verity", r"verity: .*data block \d+ is corrupted",
    r"Kernel panic - not syncing: dm-verity device corrupted", 240, damage="lib/systemd/systemd",
    dump="dm-verity device corrupted",
)  # fmt: skip
PANIC = Case(
    "a kernel that panics", "panic", "Attempted to kill init!",
    "Kernel panic - not syncing: Attempted to kill",
    240, words=("init=/usr/bin/false",), dump="Attempted to kill init!",
)  # fmt: skip
SUPERBLOCK = Case(
    "a bad block in the superblock", "verity", "data block 0 is corrupted",
    r"Kernel panic - not syncing: dm-verity device corrupted", 240, damage=1024, dump="dm-verity",
)  # fmt: skip
RARE = Case(
    "a bad block that nothing reads", "verity", r"data block \d+ is corrupted",
    r"Kernel panic - not syncing: dm-verity device corrupted", 300, damage="lib/colvert-test/rare",
    dump="dm-verity", journal="Finished colvert-boot-begin.service",
)  # fmt: skip
EMPTY = Case(
    "a valid but empty file system", "initrd", r"gpt.*root|sysroot",
    r"systemd\[1\]|Fail", 300, empty=True,
)  # fmt: skip
HANG = Case(
    "an init that hangs", "hang", "init started no unit within 120 s", r"reboot: Restarting system", 420,
    words=("init=/usr/lib/colvert-test/hang",),
)  # fmt: skip
# in the health check: what hangs later hangs a version that was found good, and that one is started again
FROZEN = Case(
    "a system that hangs", "hang", "its boots left no word", "PID 1 is frozen", 600,
    words=("colvert.test=freeze",), journal="the system stops here", watchdog=True,
)  # fmt: skip
TRUNCATED = Case(
    "a truncated UKI", "hang", "its boots left no word", r"Error loading \\EFI\\Linux\\colvert_2",
    240, truncated=True,
)  # fmt: skip
UNIT = Case(
    "a unit that fails, three times, on a full ESP", "health", "units failed: broken.service",
    r"This boot has failed \(health: units failed: broken\.service\)", 300,
    words=("systemd.wants=broken.service",), attempts=3, journal="broken.service: Failed", full=True,
)  # fmt: skip


def _drop_in(unit: str, text: str) -> str:
    """A word of the command line that adds to a unit."""
    coded = base64.b64encode(text.encode()).decode()
    return f"systemd.set_credential_binary=systemd.unit-dropin.{unit}:{coded}"


# the loader stands in for the kexec, and a minute and a half for the 14 minutes
STUCK = Case(
    "a start that hangs, by kexec", "health", "did not complete in time, it waits for: .*stuck.service",
    r"This boot has failed \(health: the boot did not complete in time", 300,
    words=(
        "colvert.entry=colvert_2+0-1.efi", "systemd.mask=systemd-bless-boot.service",
        "systemd.wants=stuck.service", _drop_in("boot-complete.target", "[Unit]\nJobTimeoutSec=90s\n"),
    ),
    journal="Starting stuck.service",
)  # fmt: skip
# what a disk that stops answering does to the script
GIVE_UP = Case(
    "a restart that hangs", "hang", "its boots left no word", "reboot: Restarting system", 300,
    words=(
        "systemd.wants=broken.service",
        _drop_in("colvert-give-up.service", "[Service]\nExecStart=\nExecStart=/usr/bin/sleep infinity\n"),
    ),
    journal="broken.service: Failed",
)  # fmt: skip
SAMPLE = (HEALTH, READ_AT_BOOT, PANIC)
LONG = (SUPERBLOCK, RARE, EMPTY, HANG, FROZEN, TRUNCATED, STUCK, GIVE_UP, UNIT)


@dataclass(frozen=True)
class Versions(Place):
    """Both versions."""

    one: Release
    two: Release

    def disk(self, case: Case) -> Path:
        work, sdk = self.folder(), self.host.sdk
        cold = self.two.emptied(work, sdk) if case.empty else self.two
        damage = (
            (cold.place_of(case.damage, sdk, work) + 64,)
            if isinstance(case.damage, str)
            else ()
            if case.damage is None
            else (case.damage,)
        )
        uki = cold.make_uki(work / "two.efi", sdk, case.words)
        if case.truncated:
            os.truncate(uki, uki.stat().st_size // 2)
        esp = {
            "EFI/Linux/colvert_1.efi": self.one.make_uki(work / "one.efi", sdk),
            f"EFI/Linux/colvert_2+{case.attempts}.efi": uki,
        }
        return Disk(self.one, cold, esp, damage, fill=case.full).make(work / "disk.raw", sdk)


@pytest.fixture(scope="module")
def place(host: Host, slots: tuple[Release, Release]) -> Iterator[Versions]:
    with open_place() as directory:
        yield Versions(host, directory, *slots)


@dataclass
class Booted:
    """A machine that runs, and the way into it."""

    running: Running
    guest: Guest
    # where its console began to show the boot that counts
    since: int = field(default=0)

    def ask(self, command: str) -> str:
        return self.guest.run(command, timeout=SETTLE_SECONDS).strip()

    def wait_resets(self, count: int, timeout: float) -> None:
        self.running.wait_reset(count, timeout)
        self.since = self.running.console.position()

    def wait_login(self, timeout: float) -> float:
        """Seconds since the machine was switched on until somebody could log in."""
        self.running.wait_for(r"(?m)^\S+ login:", timeout, after=self.since)
        return self.running.seconds()

    def version(self) -> str:
        self.guest.wait(SETTLE_SECONDS, self.running.alive)
        return self.ask(". /usr/lib/os-release; echo $IMAGE_VERSION")

    def entries(self) -> list[str]:
        return self.ask('ls "$(bootctl --print-esp-path)/EFI/Linux"').split()

    def record(self, version: str) -> dict[str, Any]:
        """What the machine says of a version that failed; that is written a moment after the boot."""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            found = self.guest.attempt(f"cat {FAILED}/{version}/record.json")
            if found.returncode == 0:
                told = json.loads(found.stdout)
                assert isinstance(told, dict)
                return told
            time.sleep(2)
        raise AssertionError(self.guest.attempt(f"ls -R {FAILED}; journalctl -b -u 'colvert-*'").stdout)

    def healthy(self) -> None:
        """The boot that the machine came back to is as good as any."""
        assert self.ask("systemctl is-system-running --wait") == "running"
        assert self.ask("systemctl list-units --failed --no-legend --plain") == ""
        assert self.running.console.problems(after=self.since) == ()


@contextmanager
def _started(disk: Path, host: Host) -> Iterator[Booted]:
    with machine(spec_of(disk, host, isolated=True), host) as made, boot(made) as running:
        yield Booted(running, running.guest(host.key()))


def _comes_back(case: Case, place: Versions) -> None:
    with _started(place.disk(case), place.host) as booted:
        # two resets where the kernel panics and the firmware needs another one are no attempt more
        booted.wait_resets(case.attempts, case.bound * case.attempts)
        failed = booted.running.seconds()
        back = booted.wait_login(BOOT_SECONDS)
        print(f"\nfallback: {case.name}: {failed:.0f} s to the reset, {back:.0f} s to the login of version 1")
        assert back < case.bound * case.attempts + LOGIN_SECONDS
        assert booted.version() == "1"
        assert re.search(case.console, booted.running.console.text()), booted.running.told()
        assert bool(booted.running.qmp.events("WATCHDOG")) is case.watchdog
        assert sorted(booted.entries()) == ["colvert_1.efi", f"colvert_2+0-{case.attempts}.efi"]
        _explained(case, booted)
        booted.healthy()


def _explained(case: Case, booted: Booted) -> None:
    record = booted.record("2")
    assert record["version"] == "2"
    assert record["kind"] == case.kind, record
    assert re.search(case.reason, record["reason"]), record
    assert record["attempts"] == case.attempts
    assert abs(record["when"] - time.time()) < 3600
    # the record is there before the journals are
    booted.ask("while systemctl --quiet is-active colvert-boot-record; do sleep 1; done")
    for wanted, files in ((case.journal, "journal-*.txt"), (case.dump, "pstore-*.txt")):
        if wanted is not None:
            assert wanted in booted.ask(f"cat {FAILED}/2/{files}")
    # Nothing is left in the firmware's store, which is small. efivarfs goes on showing the names.
    left = "for v in dump-* Colvert*; do cat $v 2>/dev/null; done | wc -c"
    assert booted.ask(f"cd /sys/firmware/efi/efivars; {left}") == "0"
    assert booted.ask("ls /sys/fs/pstore") == ""


@pytest.mark.parametrize("case", SAMPLE, ids=lambda case: case.name.replace(" ", "-"))
def test_comes_back(case: Case, place: Versions) -> None:
    _comes_back(case, place)


@pytest.mark.long
@pytest.mark.parametrize("case", LONG, ids=lambda case: case.name.replace(" ", "-"))
def test_comes_back_long(case: Case, place: Versions) -> None:
    _comes_back(case, place)


def test_a_good_version_is_blessed(place: Versions) -> None:
    work, sdk = place.folder(), place.host.sdk
    esp = {
        "EFI/Linux/colvert_1.efi": place.one.make_uki(work / "one.efi", sdk),
        "EFI/Linux/colvert_2+3.efi": place.two.make_uki(work / "two.efi", sdk),
    }
    disk = Disk(place.one, place.two, esp, fill=True).make(work / "disk.raw", sdk)
    with _started(disk, place.host) as booted:
        booted.wait_login(BOOT_SECONDS)
        assert booted.version() == "2"
        booted.healthy()
        assert booted.running.resets() == 0, booted.running.told()
        # an ESP without a free byte does not keep the counter from being taken off
        assert sorted(booted.entries()) == ["colvert_1.efi", "colvert_2.efi"]
        assert booted.guest.attempt(f"ls {FAILED}/*").returncode != 0
        assert "network=routable" in booted.ask("cat /var/lib/colvert/boot/last-good").split()
        assert booted.ask("ls /var/lib/colvert/boot/notes") == ""


@pytest.mark.long
def test_with_two_bad_versions_it_stays_as_it_is(place: Versions) -> None:
    """Nothing is left to try: the newest one runs for somebody to look at, and does not restart for ever."""
    work, sdk = place.folder(), place.host.sdk
    esp = {
        "EFI/Linux/colvert_1+0-3.efi": place.one.make_uki(work / "one.efi", sdk),
        "EFI/Linux/colvert_2+1.efi": place.two.make_uki(work / "two.efi", sdk, HEALTH.words),
    }
    disk = Disk(place.one, place.two, esp).make(work / "disk.raw", sdk)
    with _started(disk, place.host) as booted:
        booted.running.wait_for("Not restarting: no attempt and no other system is left", 2 * BOOT_SECONDS)
        assert booted.version() == "2"
        assert booted.running.resets() == 0, booted.running.told()
        assert sorted(booted.entries()) == ["colvert_1+0-3.efi", "colvert_2+0-1.efi"]


@pytest.mark.long
def test_kexec_started_versions_are_blessed_too(place: Versions) -> None:
    """The loader stands in for the kexec: what counts is what the command line says."""
    work, sdk = place.folder(), place.host.sdk
    words = ("colvert.entry=colvert_2+1-2.efi", "systemd.mask=systemd-bless-boot.service")
    esp = {
        "EFI/Linux/colvert_1.efi": place.one.make_uki(work / "one.efi", sdk),
        "EFI/Linux/colvert_2+2-1.efi": place.two.make_uki(work / "two.efi", sdk, words),
    }
    disk = Disk(place.one, place.two, esp).make(work / "disk.raw", sdk)
    with _started(disk, place.host) as booted:
        booted.wait_login(BOOT_SECONDS)
        booted.version()
        booted.healthy()
        assert sorted(booted.entries()) == ["colvert_1.efi", "colvert_2.efi"]
        assert booted.ask("systemctl is-active colvert-kexec-bless.service") == "active"
        # the limit of the whole start has to run while that may still hang
        asked, basic = (
            int(booted.ask(f"systemctl show --property={what} --value"))
            for what in (
                "ExecMainStartTimestampMonotonic colvert-kexec-boot.service",
                "ActiveEnterTimestampMonotonic basic.target",
            )
        )
        assert 0 < asked < basic
        assert booted.ask("systemctl show --property=KExecWatchdogUSec --value") == "5min"


@pytest.mark.long
def test_the_network_that_was_there_is_asked_for(place: Versions) -> None:
    """Version 2 has a network, is found good, and is left for a version 1 that has none."""
    work, sdk = place.folder(), place.host.sdk
    esp = {
        "EFI/parked.efi": place.one.make_uki(
            work / "one.efi", sdk, ("systemd.mask=systemd-networkd.service",)
        ),
        "EFI/Linux/colvert_2+3.efi": place.two.make_uki(work / "two.efi", sdk),
    }
    disk = Disk(place.one, place.two, esp).make(work / "disk.raw", sdk)
    with _started(disk, place.host) as booted:
        booted.wait_login(BOOT_SECONDS)
        assert booted.version() == "2"
        booted.healthy()
        booted.ask(
            'cd "$(bootctl --print-esp-path)/EFI" && mv Linux/colvert_2.efi Linux/colvert_2+0.efi '
            "&& mv parked.efi Linux/colvert_1+1.efi && sync"
        )
        booted.guest.attempt("systemctl reboot")
        booted.wait_resets(2, 600)
        booted.wait_login(BOOT_SECONDS)
        assert booted.version() == "2"
        record = booted.record("1")
        assert record["kind"] == "health"
        assert "network" in record["reason"]
        booted.healthy()


@pytest.mark.long
def test_without_its_entry_a_version_is_never_started(place: Versions) -> None:
    work, sdk = place.folder(), place.host.sdk
    esp = {"EFI/Linux/colvert_1.efi": place.one.make_uki(work / "one.efi", sdk)}
    disk = Disk(place.one, place.two, esp).make(work / "disk.raw", sdk)
    with _started(disk, place.host) as booted:
        booted.wait_login(BOOT_SECONDS)
        assert booted.version() == "1"
        booted.healthy()
        assert booted.guest.attempt(f"ls {FAILED}/*").returncode != 0
