"""Machine: QEMU from switching on to cleaning up, with the firmware alone (no operating system)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builder.errors import Code, ColvertError
from builder.machine.accel import Accel, choose, probe
from builder.machine.files import Host, machine
from builder.machine.probe import Running, boot
from builder.machine.qemu import RUN_DIR, Bus, Forward, MachineSpec
from builder.machine.stall import Silence
from builder.machine.warm import save
from tests.build.places import workplace

pytestmark = pytest.mark.boot

FIRMWARE_SECONDS = 90.0  # it takes 2 on an idle machine
SHELL = "UEFI Interactive Shell"


@pytest.fixture(scope="module")
def empty(host: Host) -> Path:
    """A disk with nothing on it: the firmware ends in its shell."""
    host.machines.mkdir(parents=True, exist_ok=True)
    disk = host.machines.parent / "empty.raw"
    with disk.open("wb") as stream:
        stream.truncate(64 << 20)
    disk.chmod(0o644)
    return disk


@pytest.fixture(scope="module")
def spec(empty: Path) -> MachineSpec:
    return MachineSpec(empty, memory=256, cpus=1, accel=Accel.TCG)


def qemus(directory: Path) -> list[int]:
    """The processes whose command line names a machine's directory: bubblewrap, thus QEMU."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(directory).encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
        except OSError:
            continue  # it ended meanwhile
    return [pid for pid in found if pid != os.getpid()]


def gone(directory: Path, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while qemus(directory) and time.monotonic() < end:
        time.sleep(0.05)
    return not qemus(directory)


def test_the_probe_tells_a_working_accelerator(sdk_root: Path) -> None:
    # the same probe under TCG must succeed, or a failure under KVM would tell nothing
    assert probe(sdk_root, Accel.TCG, FIRMWARE_SECONDS).accel is Accel.TCG
    assert "ran under tcg" in probe(sdk_root, Accel.TCG, FIRMWARE_SECONDS).reason


def test_the_choice_is_quick_the_second_time(host: Host) -> None:
    host.machines.mkdir(parents=True, exist_ok=True)
    first = choose(host.sdk, host.machines)
    began = time.monotonic()
    assert choose(host.sdk, host.machines) == first
    assert time.monotonic() - began < 5
    if first.accel is Accel.KVM:
        assert "ran under kvm" in first.reason


def test_a_machine_from_on_to_off(spec: MachineSpec, host: Host, tmp_path: Path) -> None:
    spec = replace(spec, display=True, forwards=(Forward(22), Forward(80)), credentials={"a.b": b"\0,\xff"})
    with machine(spec, host) as made:
        with boot(made) as running:
            running.wait_for(SHELL, FIRMWARE_SECONDS)
            _speaks(running)
            _forwards(running)
            running.screenshot(tmp_path / "screen.png")
            assert running.resets() == 0
            running.qmp.execute("system_reset")
            running.wait_reset(1, 30)
        assert gone(made.directory)
    assert (tmp_path / "screen.png").read_bytes().startswith(b"\x89PNG")
    assert not made.directory.exists()


def _speaks(running: Running) -> None:
    """The serial console works both ways."""
    position = running.console.position()
    running.type(b"x\r")
    running.wait_for("Shell>", FIRMWARE_SECONDS, after=position)
    running.type(b"echo it said %cwd%so\r")
    running.wait_for("it said so", FIRMWARE_SECONDS, after=position)


def _forwards(running: Running) -> None:
    """Each forward has a port of its own on the loopback, and none elsewhere."""
    ports = {running.forwarded(22), running.forwarded(80)}
    assert len(ports) == 2
    for port in ports:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.2", port), timeout=5)
    with pytest.raises(ColvertError):
        running.forwarded(81)


def test_a_silent_guest_is_nudged_and_told_of(spec: MachineSpec, host: Host) -> None:
    with machine(spec, host) as made, boot(made) as running:
        running.wait_for(SHELL, FIRMWARE_SECONDS)
        silence = Silence(running.console, running.qmp, limit=1.0)
        end = time.monotonic() + 10
        while not silence.nudges and time.monotonic() < end:
            silence.look()
            time.sleep(0.1)
        [told] = silence.nudges
        assert any(line.startswith("RIP=") for line in told)
        assert any(line.startswith("disk") for line in told)
        # it goes on
        assert running.qmp.execute("query-status")["running"]
        _speaks(running)


def test_several_clones_of_one_image(spec: MachineSpec, host: Host, empty: Path) -> None:
    before = empty.read_bytes()
    with machine(spec, host) as one, machine(spec, host) as two, boot(one) as first, boot(two) as second:
        first.wait_for(SHELL, FIRMWARE_SECONDS)
        second.wait_for(SHELL, FIRMWARE_SECONDS)
        assert one.directory != two.directory
    assert empty.read_bytes() == before


@pytest.fixture
def snapshot(spec: MachineSpec, host: Host) -> Iterator[Path]:
    """The state of a machine whose firmware has set a variable of its shell."""
    for place in workplace():
        with machine(spec, host) as made, boot(made) as running:
            running.wait_for("Shell>", FIRMWARE_SECONDS)
            running.type(b"set -v remembered yes\r")
            running.wait_for("set -v remembered yes", FIRMWARE_SECONDS)
            save(running, place)
            assert not running.alive()
        yield place


def test_a_machine_is_restored_as_it_was_as_often_as_wanted(
    spec: MachineSpec, host: Host, snapshot: Path
) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in snapshot.iterdir()}
    spec = replace(spec, snapshot=snapshot, forwards=(Forward(22),))
    with machine(spec, host) as one, machine(spec, host) as two, boot(one) as first, boot(two) as second:
        for running in (first, second):
            # what it showed before is there, and it goes on
            running.wait_for("Shell>", 0)
            position = running.console.position()
            running.type(b"echo it was %remembered%\r")
            running.wait_for("it was yes", FIRMWARE_SECONDS, after=position)
            assert running.forwarded(22)
        assert first.qmp.monitor("info vm-generation-id") != second.qmp.monitor("info vm-generation-id")
    assert {path.name: path.stat().st_mtime_ns for path in snapshot.iterdir()} == before


def test_a_restored_machine_boots_the_second_time(spec: MachineSpec, host: Host, snapshot: Path) -> None:
    """Its memory belongs to a disk that is no longer the same."""
    with machine(replace(spec, snapshot=snapshot), host) as made:
        with boot(made) as running:
            running.wait_for("Shell>", 0)
        with boot(made) as running:
            with pytest.raises(ColvertError):
                running.wait_for("Shell>", 0)
            running.wait_for("Shell>", FIRMWARE_SECONDS)


def test_a_damaged_snapshot_is_told_in_qemus_words(spec: MachineSpec, host: Host, snapshot: Path) -> None:
    os.truncate(snapshot / "memory", 100_000)
    with machine(replace(spec, snapshot=snapshot), host) as made:
        with pytest.raises(ColvertError) as caught, boot(made):
            pass
        assert caught.value.code is Code.BOOT_FAILED
        assert any("qemu-system" in line for line in caught.value.detail)


def test_a_boot_after_the_first_reads_its_own_console(spec: MachineSpec, host: Host) -> None:
    with machine(spec, host) as made:
        for _ in range(2):
            with boot(made) as running:
                with pytest.raises(ColvertError):
                    running.wait_for("BdsDxe", 0)
                running.wait_for("BdsDxe", FIRMWARE_SECONDS)


@pytest.mark.parametrize("bus", list(Bus))
def test_every_bus_is_one_qemu_knows(spec: MachineSpec, host: Host, bus: Bus) -> None:
    with machine(replace(spec, bus=bus), host) as made, boot(made) as running:
        assert "disk.qcow2" in running.qmp.monitor("info block")


def test_a_larger_disk_than_the_image(spec: MachineSpec, host: Host) -> None:
    with machine(replace(spec, disk_size=1), host) as made, boot(made) as running:
        blocks = running.qmp.execute("query-block")
        sizes = {block["device"]: block["inserted"]["image"]["virtual-size"] for block in blocks}
        assert sizes["disk"] == 1 << 30


def test_a_kept_machine_outlives_its_image(spec: MachineSpec, host: Host) -> None:
    image = host.machines.parent / "short-lived.raw"
    image.write_bytes(b"\0" * (1 << 20))
    image.chmod(0o644)
    spec = replace(spec, disk=image)
    with machine(spec, host, keep="mine") as made:
        (made.disk / "vars.fd").touch()
        directory = made.directory
        with pytest.raises(ColvertError) as caught, machine(spec, host, keep="mine"):
            pass
        assert caught.value.code is Code.BUSY
    image.unlink()
    assert directory.exists()
    with machine(spec, host, keep="mine") as made, boot(made) as running:
        running.wait_for("BdsDxe", FIRMWARE_SECONDS)


def test_a_wrong_option_is_told_in_qemus_words(spec: MachineSpec, host: Host) -> None:
    with machine(replace(spec, extra=("-device", "no-such-thing")), host) as made:
        with pytest.raises(ColvertError) as caught, boot(made):
            pass
        assert caught.value.code is Code.BOOT_FAILED
        assert any("no-such-thing" in line for line in caught.value.detail)


def test_qemu_that_is_killed_is_noticed(spec: MachineSpec, host: Host) -> None:
    with machine(spec, host) as made, boot(made) as running:
        running.wait_for("BdsDxe", FIRMWARE_SECONDS)
        os.killpg(running.process.pid, signal.SIGKILL)
        with pytest.raises(ColvertError, match="before the machine ended"):
            running.wait_for("login:", FIRMWARE_SECONDS)
        assert not running.alive()
    assert gone(made.directory)
    assert not made.directory.exists()


VICTIM = """
import sys, time
from pathlib import Path
from builder.machine.accel import Accel
from builder.machine.files import Host, machine
from builder.machine.probe import boot
from builder.machine.qemu import MachineSpec
sdk, machines, state, disk = map(Path, sys.argv[1:])
spec = MachineSpec(disk, memory=256, cpus=1, accel=Accel.TCG)
with machine(spec, Host(sdk, machines, state)) as made, boot(made) as running:
    print(made.directory, flush=True)
    time.sleep(600)
"""


def test_nothing_survives_us(spec: MachineSpec, host: Host) -> None:
    words = [sys.executable, "-c", VICTIM, host.sdk, host.machines, host.checkout_state, spec.disk]
    with subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        directory = Path(victim.stdout.readline().strip())
        assert qemus(directory)
        victim.kill()
        victim.wait()
    assert gone(directory)
    assert directory.exists()  # a killed process cleans nothing up itself
    with machine(spec, host):
        assert not directory.exists()  # the next one does


def test_qemu_sees_its_own_files_only(spec: MachineSpec, host: Host) -> None:
    with machine(spec, host) as made, boot(made) as running:
        secret = host.machines.parent / "secret"
        secret.write_text("of the host")
        with pytest.raises(ColvertError):
            running.qmp.execute("screendump", {"filename": str(secret), "format": "png"})
        with pytest.raises(ColvertError):  # and may write nowhere but there
            running.qmp.execute("pmemsave", {"val": 0, "size": 1, "filename": "/usr/written"})
        running.qmp.execute("pmemsave", {"val": 0, "size": 1, "filename": f"{RUN_DIR}/written"})
        assert (made.run / "written").stat().st_size == 1
    assert secret.read_text() == "of the host"
