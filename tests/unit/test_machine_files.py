"""Machine: its files, as far as they need no QEMU."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import Code, ColvertError
from builder.machine import files
from builder.machine.accel import Accel
from builder.machine.files import Host, disk_format, machine
from builder.machine.qemu import MachineSpec
from builder.pipeline.lock import held


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "sdk", tmp_path / "machines", tmp_path / "checkout" / ".colvert")


def test_a_disk_is_what_its_content_says(tmp_path: Path) -> None:
    for name, content, kind in (
        ("disk.raw", b"QFI\xfb\0\0\0\3", "qcow2"),
        ("disk.qcow2", b"\0" * 512, "raw"),
        ("disk", b"KDMV\3\0\0\0", "vmdk"),
        ("disk.vmdk", b"conectix\0\0\0\2", "vpc"),
        ("empty", b"", "raw"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        assert disk_format(path) == kind


def test_an_image_that_is_not_there(host: Host) -> None:
    spec = MachineSpec(Path("/nowhere/disk.qcow2"), accel=Accel.TCG)
    with pytest.raises(ColvertError) as caught, machine(spec, host):
        pass
    assert caught.value.code is Code.NOT_BUILT


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "-x", "a b", "x" * 65])
def test_names_that_are_no_directory(host: Host, name: str) -> None:
    spec = MachineSpec(Path("/nowhere/disk.qcow2"), accel=Accel.TCG)
    with pytest.raises(ColvertError) as caught, machine(spec, host, keep=name):
        pass
    assert caught.value.code is Code.USAGE


def test_two_cannot_use_one_kept_machine(host: Host) -> None:
    with files._kept_directory(host.machines, "mine"):
        with pytest.raises(ColvertError) as caught, files._kept_directory(host.machines, "mine"):
            pass
        assert caught.value.code is Code.BUSY
    with files._kept_directory(host.machines, "mine"):
        pass


def test_the_next_one_sweeps_up_what_a_killed_one_left(host: Host) -> None:
    base = host.machines / "run"
    dead, living = base / "machine-dead", base / "machine-living"
    for directory in (dead, living):
        directory.mkdir(parents=True)
        (directory / "disk.qcow2").write_bytes(b"x")
    with held(living / "lock"), files._throw_away_directory(host.machines) as mine:
        assert not dead.exists()
        assert living.exists()
        assert mine.exists()
    assert not mine.exists()


def test_the_checkouts_state_hides_from_git(host: Host) -> None:
    key = host.key()
    assert key.private.is_relative_to(host.checkout_state)
    assert (host.checkout_state / ".gitignore").read_text() == "*\n"
