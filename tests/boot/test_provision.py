"""Boot: a machine is told who it is, by a cloud's metadata service or by its hypervisor.

The service is on the link-local address inside QEMU's user network. One machine meets the right
service three times; another one, whose key comes from its hypervisor so that we can look
inside, boots before a dead one, and then its agent meets the other bad ones.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from builder.machine.credentials import checkout_key, ssh_credentials
from builder.machine.files import Host, Machine, machine
from builder.machine.guest import SSH_FAILED
from builder.machine.probe import Running, boot
from builder.machine.qemu import RUN_DIR, Bus, Forward, GuestForward, MachineSpec
from builder.sandbox.run import run
from tests import configdrive, metadata, server
from tests.booted import SETTLE_SECONDS, Booted, let_in, spec_of
from tests.metadata import Service
from tests.server import Act, serve

pytestmark = pytest.mark.boot

ADDRESS = "169.254.169.254"
EC2 = {1: {"manufacturer": "Amazon EC2", "product": "c5.large"}}
GCE = {1: {"manufacturer": "Google", "product": "Google Compute Engine"}}
OPENSTACK = {1: {"manufacturer": "OpenStack Foundation", "product": "OpenStack Nova"}}
SECRET = "hunter2-of-the-test"
SCRIPT = f"""#!/bin/sh
# {SECRET}
echo ran >> /root/ran
id -u >> /root/ran
echo the script speaks
"""
KEYS = "/root/.ssh/authorized_keys.d/provision"
STATE = "/var/lib/colvert/provision"
STEPS = ("fetch", "apply", "script")


@dataclass(frozen=True)
class Told(Booted):
    """A machine that runs, and the service it asks."""

    service: Service

    def settled(self) -> str:
        """systemd's own verdict, once the boot is done and the agent with it."""
        verdict = super().settled()
        units = " ".join(f"colvert-provision-{step}.service" for step in STEPS)
        asked = f"test -e /run/colvert-provision/asked && systemctl show -P ActiveState {units}; true"
        end, quiet = time.monotonic() + SETTLE_SECONDS, 0
        # twice, since one step starts the next when it has ended
        while quiet < 2 and time.monotonic() < end:
            quiet = quiet + 1 if set(self.ask(asked).split()) == {"inactive"} else 0
            time.sleep(1)
        return verdict

    def journal(self, cursor: str = "") -> str:
        """What the agent has said in this boot, or after a place in the journal."""
        after = f"--after-cursor='{cursor}'" if cursor else ""
        return self.ask(f"journalctl -b --no-pager -o cat -u 'colvert-provision-*' {after}")

    def ask_again(self) -> str:
        """Let the agent ask as at a first boot, nothing learned yet; returns the journal's place before."""
        shown = self.ask("journalctl -b -n 0 --show-cursor")
        units = " ".join(f"colvert-provision-{step}.service" for step in STEPS)
        self.ask(
            f"systemctl stop {units}; rm -rf /run/colvert-provision/* {STATE}/* {KEYS}"
            " && systemctl start colvert-provision-fetch.service"
        )
        return shown.rpartition("cursor: ")[2]

    def seconds(self) -> float:
        """How long the step that asks has taken in this boot."""
        shown = self.ask(
            "systemctl show -P ExecMainStartTimestampMonotonic -P ExecMainExitTimestampMonotonic"
            " colvert-provision-fetch.service"
        )
        start, end = (int(word) for word in shown.split())
        return (end - start) / 1e6


def _spec(image: Path, service: Service, tables: dict[int, dict[str, str]]) -> MachineSpec:
    return MachineSpec(
        image,
        cpus=1,
        smbios=tables,
        forwards=(Forward(22),),
        guest_forward=GuestForward(ADDRESS, 80, service.port),
        isolated=True,
    )


def _told(made: Machine, running: Running, service: Service) -> Told:
    booted = let_in(made, running)
    return Told(booted.running, booted.guest, service)


@contextmanager
def _up(spec: MachineSpec, host: Host, service: Service) -> Iterator[Told]:
    """A machine that has let us in."""
    with machine(spec, host) as made, boot(made) as running:
        yield _told(made, running, service)


# the right one


@pytest.fixture(scope="module")
def cloud(image: Path, host: Host) -> Iterator[Told]:
    service = metadata.ec2(
        keys={"checkout": host.key().public}, name="ip-10-1-2-3.internal", user_data=SCRIPT
    )
    with serve(service), _up(replace(_spec(image, service, EC2), bus=Bus.NVME), host, service) as booted:
        yield booted


def test_the_platforms_key_opens(cloud: Told, tmp_path: Path) -> None:
    assert cloud.ask("id -u") == "0"
    # the only one there is
    assert cloud.guest.attempt("test -e /root/.ssh/authorized_keys").returncode == 1
    for key in (None, checkout_key(tmp_path)):
        assert replace(cloud.guest, key=key).attempt("true").returncode == SSH_FAILED


def test_the_machine_is_healthy(cloud: Told) -> None:
    cloud.healthy()
    assert cloud.running.problems() == ()


def test_the_host_name_is_set(cloud: Told) -> None:
    assert cloud.ask("hostname 2>/dev/null || cat /proc/sys/kernel/hostname") == "ip-10-1-2-3.internal"
    assert cloud.ask("cat /etc/hostname") == "ip-10-1-2-3.internal"


def test_user_data_ran_once(cloud: Told) -> None:
    cloud.settled()
    assert cloud.ask("cat /root/ran") == "ran\n0"
    assert "the script speaks" in cloud.ask("journalctl -b --no-pager -o cat -t user-data")


def test_no_secret_is_in_the_journal_or_open_to_all(cloud: Told) -> None:
    assert SECRET not in cloud.ask("journalctl -b --no-pager -o cat -a")
    found = cloud.ask(f"grep -rl '{SECRET}' /run /etc /var/lib /tmp /root 2>/dev/null; true").split()
    assert found == []
    assert (
        cloud.ask(f"stat -c %a {KEYS} /root/.ssh /root/.ssh/authorized_keys.d /run/colvert")
        == "600\n700\n700\n700"
    )


def test_the_token_is_asked_for_first(cloud: Told) -> None:
    assert cloud.service.asked[0] == "PUT /latest/api/token"


def test_the_oem_partition_is_mounted(cloud: Told) -> None:
    options = cloud.ask("findmnt -no OPTIONS /oem").split(",")
    assert {"ro", "nodev", "nosuid", "noexec"} <= set(options)
    assert "ID=" in cloud.ask("cat /oem/oem-release")


def test_the_steps_are_shut_in(cloud: Told) -> None:
    """systemd's own measure, 0 (nothing is open) to 10."""
    shown = cloud.ask("systemd-analyze security --no-pager colvert-provision-fetch.service | tail -1; true")
    found = re.search(r"colvert-provision-fetch.service: (\d+\.\d)", shown)
    assert found
    assert float(found[1]) < 2.0


def test_a_second_boot_does_nothing(cloud: Told) -> None:
    cloud.settled()
    cloud.service.asked.clear()
    cloud.reboot()
    cloud.healthy()
    assert cloud.service.asked == ["PUT /latest/api/token", "GET /latest/meta-data/instance-id"]
    assert cloud.ask("cat /root/ran") == "ran\n0"
    assert "was provisioned before" in cloud.journal()


def test_another_instance_of_the_disk_is_provisioned_again(cloud: Told) -> None:
    document = {
        "systemd.credentials": [
            {"name": "tmpfiles.extra", "text": f"f /root/from-tmpfiles 0600 root root - {SECRET}"},
            {"name": "sysusers.extra", "text": 'u app 800 "The app" /var/empty'},
            {"name": "sysctl.extra", "text": "kernel.panic = 23"},
            {"name": "network.network.50-dummy", "text": "[Match]\nName=nothing*\n[Network]\nDHCP=no\n"},
            {
                "name": "systemd.extra-unit.app.service",
                "text": "[Service]\nType=oneshot\nRemainAfterExit=yes\nUser=app\n"
                "ImportCredential=app.*\nRuntimeDirectory=app\n"
                "ExecStart=/bin/sh -c 'cat %d/app.token > %t/app/token'\n",
            },
            {"name": "systemd.unit-dropin.multi-user.target", "text": "[Unit]\nWants=app.service\n"},
            {"name": "app.token", "text": SECRET},
            {"name": "../../usr/bad", "text": "x"},
        ]
    }
    other = metadata.ec2(
        keys={"checkout": cloud.guest.key.public if cloud.guest.key else ""},
        name="second",
        instance="i-2",
        user_data=json.dumps(document),
    )
    cloud.service.answers = other.answers
    cloud.reboot()
    cloud.healthy()
    assert cloud.ask(f"cat {STATE}/instance-id /etc/hostname") == "i-2\nsecond"
    assert cloud.ask("cat /root/ran") == "ran\n0"
    assert cloud.ask("stat -c %a /root/from-tmpfiles") == "600"
    assert cloud.ask("cat /root/from-tmpfiles") == SECRET
    assert cloud.ask("id -u app") == "800"
    assert cloud.ask("cat /proc/sys/kernel/panic") == "23"
    assert cloud.ask("ls /run/systemd/network") == "50-dummy.network"
    assert cloud.ask("systemctl is-active app.service") == "active"
    assert cloud.ask("cat /run/app/token") == SECRET
    assert cloud.ask("stat -c %a /etc/credstore /etc/credstore/app.token") == "700\n600"
    assert SECRET not in cloud.ask("journalctl -b --no-pager -o cat -a")
    # and they stay: systemd's own services read them at the next boot
    cloud.reboot()
    cloud.healthy()
    assert cloud.ask("cat /proc/sys/kernel/panic") == "23"
    assert cloud.ask("ls /run/systemd/network") == "50-dummy.network"
    assert cloud.ask("systemctl is-active app.service") == "active"


# bad ones


@pytest.fixture(scope="module")
def besieged(image: Path, host: Host) -> Iterator[Told]:
    service = Service(behave={"": server.dead})
    with serve(service):
        spec = replace(_spec(image, service, EC2), credentials=ssh_credentials(host.key()))
        with _up(spec, host, service) as booted:
            yield booted


def _unharmed(booted: Told) -> None:
    # we were let in before the service was given up: nothing waits for it
    assert booted.ask("systemctl is-active multi-user.target") == "active"
    booted.healthy()
    assert booted.ask(f"ls -A {KEYS} /etc/hostname {STATE}/script /pwned 2>/dev/null; true") == ""
    assert booted.ask("ls -A /etc/credstore") == ""
    assert booted.seconds() < 75
    stranger = replace(booted.guest, key=None)
    assert stranger.attempt("true").returncode == SSH_FAILED


def test_a_dead_service_holds_nobody(besieged: Told) -> None:
    # the first boot is counted, so it is blessed only if nothing failed
    _unharmed(besieged)
    assert "nothing was learned" in besieged.journal()
    assert besieged.ask("systemctl is-active boot-complete.target") == "active"
    entries = besieged.ask("for d in /efi /boot; do ls $d/EFI/Linux 2>/dev/null; done; true").split()
    assert not [entry for entry in entries if "+" in entry]


@pytest.mark.parametrize(
    "behave", [metadata.garbage, server.endless, metadata.redirect], ids=["garbage", "endless", "redirect"]
)
def test_nonsense_is_left_alone(besieged: Told, behave: Act) -> None:
    besieged.service.behave[""] = behave
    cursor = besieged.ask_again()
    _unharmed(besieged)
    assert "nothing was learned" in besieged.journal(cursor)


def test_a_hostile_service_gets_nothing(besieged: Told, host: Host) -> None:
    besieged.service.behave[""] = metadata.hostile(host.key().public)
    cursor = besieged.ask_again()
    _unharmed(besieged)
    journal = besieged.journal(cursor)
    assert "are no keys that can be taken" in journal
    assert "credentials of the user data are refused" in journal
    assert "\x1b" not in journal


# the hypervisor's own ways


def test_qemu_gives_user_data_as_a_credential(image: Path, host: Host) -> None:
    credentials = {**ssh_credentials(host.key()), "colvert.user-data": SCRIPT}
    spec = spec_of(image, host, credentials=credentials, isolated=True)
    with _up(spec, host, Service()) as booted:
        booted.healthy()
        assert booted.ask("cat /root/ran") == "ran\n0"
        # no network was waited for
        assert booted.seconds() < 5
        assert SECRET not in booted.ask("journalctl -b --no-pager -o cat -a")


def test_gce(image: Path, host: Host) -> None:
    key = host.key().public
    service = metadata.gce(keys=f"alice:{key}", block="TRUE")
    with serve(service):
        spec = replace(_spec(image, service, GCE), bus=Bus.VIRTIO_SCSI)
        with _up(spec, host, service) as booted:
            booted.healthy()
            assert booted.ask("cat /etc/hostname") == "web.europe-west1-b.c.demo.internal"


@pytest.mark.parametrize("form", ["iso9660", "vfat"])
def test_openstack_config_drive(image: Path, host: Host, form: str) -> None:
    """The two forms that Nova makes."""
    service = Service(behave={"": metadata.errors})
    drive = f"if=none,id=drive,format=raw,readonly=on,file={RUN_DIR}/drive.img"
    words = ("-drive", drive, "-device", "virtio-blk-pci,drive=drive")
    with serve(service):
        spec = replace(_spec(image, service, OPENSTACK), extra=words)
        with machine(spec, host) as made:
            _add_drive(made, host.key().public, form)
            with boot(made) as running:
                booted = _told(made, running, service)
                booted.healthy()
                assert service.asked == []
                assert booted.ask("cat /etc/hostname") == "web"
                assert booted.ask(f"cat {STATE}/instance-id") == metadata.UUID
                assert booted.ask("findmnt -no FSTYPE /run/colvert/configdrive") == form
                # what is in it is root's business
                assert booted.ask("stat -c %a /run/colvert") == "700"


def _add_drive(made: Machine, key: str, form: str) -> None:
    content = metadata.openstack_metadata(keys={"checkout": key})
    drive, document = made.run / "drive.img", made.run / "meta_data.json"
    document.write_text(content)
    drive.write_bytes(configdrive.iso(content) if form == "iso9660" else bytes(4 << 20))
    for path in (drive, document):
        made.give(path)
    target = f"{RUN_DIR}/{drive.name}"
    commands = (
        ["mkfs.vfat", "-n", "config-2", target],
        ["mmd", "-i", target, "::openstack", "::openstack/latest"],
        ["mcopy", "-i", target, f"{RUN_DIR}/{document.name}", "::openstack/latest/meta_data.json"],
    )
    for argv in commands if form == "vfat" else ():
        run(argv, sandbox=made.sandbox())
