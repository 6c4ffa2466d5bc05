"""Warm machines: what decides which snapshot a machine is restored from, and which machine cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from builder.cli.run import cli
from builder.errors import Code, ColvertError, Exit
from builder.machine.accel import Accel
from builder.machine.files import Host
from builder.machine.qemu import Bus, Firmware, Forward, GuestForward, MachineSpec, Nic, command_line
from builder.machine.session import RunOptions, run_image
from builder.machine.warm import CREDENTIALS, WarmMachine
from builder.pipeline import stage
from builder.pipeline.artifact import Artifact

DISK = Artifact("machine", "0" * 64)
SPEC = MachineSpec(Path("/images/colvert.qcow2"), credentials={"motd": "hello"})


def key(spec: MachineSpec, disk: Artifact = DISK) -> str:
    return stage.key(WarmMachine.of(spec, disk), code="code", sdk="sdk")


@pytest.mark.parametrize(
    "change",
    [
        {"memory": 2048},
        {"cpus": 1},
        {"disk_size": 12},
        {"bus": Bus.NVME},
        {"nic": Nic.E1000E},
        {"credentials": {}},
        {"credentials": {"motd": "bye"}},
        {"smbios": {1: {"manufacturer": "Acme"}}},
        {"isolated": True},
        {"display": True},
    ],
)
def test_another_machine_has_another_snapshot(change: Mapping[str, Any]) -> None:
    assert key(replace(SPEC, **change)) != key(SPEC)


def test_another_disk_has_another_snapshot() -> None:
    assert key(SPEC, Artifact("machine", "1" * 64)) != key(SPEC)


def test_where_the_disk_lies_and_what_leads_in_decide_nothing() -> None:
    """Each restored machine has its own."""
    other = replace(SPEC, disk=Path("/elsewhere"), forwards=(Forward(22),), accel=Accel.TCG)
    assert key(other) == key(SPEC)


def test_what_is_booted_is_the_machine_and_what_reports_its_end(tmp_path: Path) -> None:
    booted = WarmMachine.of(replace(SPEC, memory=512, forwards=(Forward(22),)), DISK).spec(tmp_path)
    assert booted.credentials == {**SPEC.credentials, **CREDENTIALS}
    assert (booted.memory, booted.forwards, booted.accel) == (512, (), Accel.TCG)


def test_a_restored_machine_has_the_devices_of_the_booted_one(tmp_path: Path) -> None:
    """QEMU reads a state only into the machine that wrote it; credentials are in the guest's memory."""
    spec = replace(SPEC, bus=Bus.AHCI, nic=Nic.E1000, display=True, credentials={}, isolated=True)
    booted = command_line(WarmMachine.of(spec, DISK).spec(tmp_path), Accel.TCG, durable=False)
    restored = command_line(replace(spec, snapshot=tmp_path), Accel.TCG, durable=False, restored=True)
    tables = [place for place, word in enumerate(booted) if word == "-smbios"]
    for place in reversed(tables):
        del booted[place : place + 2]
    assert restored == [*booted, "-incoming", "file:/run/snapshot/memory"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"firmware": Firmware.secure(Path("vars.fd"))}, "firmware"),
        ({"loader": Path("loader.raw")}, "loader"),
        ({"guest_forward": GuestForward("169.254.169.254", 80, 1)}, "guest_forward"),
        ({"log_writes": True}, "log_writes"),
        ({"accel": Accel.KVM}, "accel kvm"),
        ({"cpu": "qemu64"}, "cpu"),
        ({"extra": ("-device", "tpm-tis")}, "extra"),
        ({"oem_strings": ("x",)}, "oem_strings"),
        ({"reboot": False}, "reboot"),
        ({"snapshot": Path("snapshot")}, "snapshot"),
        ({"credentials": CREDENTIALS}, "units"),
    ],
)
def test_what_cannot_be_restored_is_refused(change: Mapping[str, Any], named: str) -> None:
    with pytest.raises(ColvertError) as caught:
        WarmMachine.of(replace(SPEC, **change), DISK)
    assert caught.value.code is Code.USAGE
    assert named in caught.value.what


@pytest.mark.parametrize("words", [["--secure-boot"], ["--persist", "x"], ["--until", "login"]])
def test_run_refuses_what_a_restored_machine_cannot_have(words: list[str], tmp_path: Path) -> None:
    said = CliRunner().invoke(cli, ["--warm", *words, "--home", str(tmp_path / "home")])
    assert said.exit_code == Exit.INPUT
    assert f"--warm cannot be combined with {words[0]}" in said.output
    assert not (tmp_path / "home").exists()


def test_run_refuses_it_where_kvm_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(tmp_path, tmp_path, tmp_path)
    monkeypatch.setattr(RunOptions, "spec", lambda _self, _host: replace(SPEC, accel=Accel.KVM))

    def never() -> Any:
        raise AssertionError("nothing is booted")

    with pytest.raises(ColvertError) as caught:
        run_image(RunOptions(tmp_path, warm=True), host, print, never)
    assert caught.value.code is Code.USAGE


def test_the_key_is_let_in_to_set_the_clock(tmp_path: Path) -> None:
    spec = RunOptions(tmp_path, warm=True).spec(Host(tmp_path, tmp_path, tmp_path / "state"))
    assert spec.forwards == (Forward(22),)
    assert "ssh.authorized_keys.root" in spec.credentials
