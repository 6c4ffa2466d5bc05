"""Machine: what `colvert run` makes of its options."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.machine.files import Host
from builder.machine.qemu import Forward
from builder.machine.session import RunOptions


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "sdk", tmp_path / "machines", tmp_path / "state")


def test_nobody_gets_in_unless_asked_for(host: Host) -> None:
    spec = RunOptions(Path("disk.qcow2")).spec(host)
    assert spec.credentials == {}
    assert spec.forwards == ()
    assert not host.checkout_state.exists()  # and no key was made


def test_ssh_brings_the_key_and_a_port(host: Host) -> None:
    spec = RunOptions(Path("disk.qcow2"), ssh=True, forwards=(Forward(80, 8080),)).spec(host)
    assert spec.forwards == (Forward(80, 8080), Forward(22))
    assert str(spec.credentials["ssh.authorized_keys.root"]).startswith("ssh-ed25519 ")


def test_a_forward_to_ssh_that_was_given_stays(host: Host) -> None:
    assert RunOptions(Path("d"), ssh=True, forwards=(Forward(22, 2222),)).spec(host).forwards == (
        Forward(22, 2222),
    )


def test_a_picture_needs_a_screen(host: Host) -> None:
    assert RunOptions(Path("d"), screenshot=Path("s.png")).spec(host).display
    assert not RunOptions(Path("d")).spec(host).display
