"""libvirt takes the domain, in the session of an ordinary user, and boots it."""

from __future__ import annotations

import re

import pytest

from builder.machine.console import Console
from tests.clients.workspace import HOME, Desk
from tests.targets import Targets

BOOT_SECONDS = 1200.0
VIRSH = 'virsh() { command virsh --quiet --connect qemu:///session "$@"; }\n'

BOOT = """
cp "$1" disk.qcow2
virsh define domain.xml
virsh start "$2"
until grep -q ' login:' console.log; do
    test "$(virsh domstate "$2")" = running
    sleep 1
done
virsh shutdown "$2"
until test "$(virsh domstate "$2")" = 'shut off'; do sleep 1; done
virsh domstate --reason "$2"
virsh undefine --nvram "$2"
"""


def _without_kvm(domain: str) -> str:
    """The domain for a machine without KVM, changed as its page in the docs says."""
    changed = domain.replace('<domain type="kvm">', '<domain type="qemu">')
    changed = re.sub(r".*host-model.*\n", "", changed)
    assert changed.count("\n") == domain.count("\n") - 1
    return changed


def _for_a_session(domain: str) -> str:
    """The domain with a disk of the user's own, and what else an ordinary user may have."""
    for old, new in (
        (r'<source file=".*"/>', f'<source file="{HOME}/disk.qcow2"/>'),
        (r'<interface type="network">\s*<source network="default"/>', '<interface type="user">'),
        # the console is kept besides
        (r'<serial type="pty"/>', f'<serial type="pty"><log file="{HOME}/console.log"/></serial>'),
    ):
        domain, count = re.subn(old, new, domain)
        assert count == 1, old
    return domain


def test_the_domain_is_valid(desk: Desk, targets: Targets) -> None:
    file = desk.inside(targets.file("libvirt", ".xml"))
    assert "validates" in desk.run('virt-xml-validate "$1" domain', file).stdout


def test_the_domain_is_defined(desk: Desk, targets: Targets) -> None:
    domain = desk.write("domain.xml", _without_kvm(targets.file("libvirt", ".xml").read_text()))
    script = VIRSH + 'virsh define --validate "$1"; virsh list --all --name; virsh dumpxml "$2"'
    name = targets.file("libvirt", ".xml").stem
    said = desk.run(script, domain, name).stdout
    assert name in said.splitlines()
    # libvirt chose the firmware that the domain asks for, and kept the rest
    assert re.search(r"<loader [^>]*type='pflash'[^>]*>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>", said)
    assert "<watchdog model='i6300esb' action='reset'>" in said


@pytest.mark.boot
def test_the_domain_boots(desk: Desk, targets: Targets) -> None:
    domain = targets.file("libvirt", ".xml")
    desk.write("domain.xml", _for_a_session(_without_kvm(domain.read_text())))
    disk = desk.inside(targets.file("libvirt", ".qcow2"))
    said = desk.run(VIRSH + BOOT, disk, domain.stem, timeout=BOOT_SECONDS).stdout
    assert "shut off (shutdown)" in said
    assert Console(desk.home / "console.log").problems() == ()
