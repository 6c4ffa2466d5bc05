"""Boot: the files that the platforms' targets emit, on the hardware of their platforms.

Nothing is converted on the way: QEMU reads the VMDK, VHD or raw disk itself and keeps what
the machine writes in a layer above it. Not booted are brightbox, eucalyptus, libvirt and
openstack: `tests/build/test_platforms.py` finds the same blocks in their files, and their
hardware (virtio) is that of the target qemu, which `test_boot.py` boots.
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.machine.credentials import KeyPair, ssh_credentials
from builder.machine.files import Host, disk_format, machine
from builder.machine.guest import SSH_FAILED
from builder.machine.probe import LOGIN_SECONDS, boot
from builder.machine.qemu import Bus, Forward, MachineSpec, Nic
from builder.platforms import PLATFORMS
from tests.clients.root import Clients
from tests.conftest import Targets

pytestmark = pytest.mark.boot

BOOT_SECONDS = 2 * LOGIN_SECONDS
SETTLE_SECONDS = 600.0


@dataclass(frozen=True)
class Place:
    """A platform as far as QEMU can be it: which file it takes, and what it attaches that to."""

    platform: str
    suffix: str
    format: str
    bus: Bus
    nic: Nic
    # the disk and the driver of the network, as the guest names them
    disk: str
    driver: str
    # the end of the disk's name where the file is an archive
    member: str | None = None


PLACES = (
    # ENA is not in QEMU; e1000e is a PCI Express device too
    Place("ec2", ".vmdk", "vmdk", Bus.NVME, Nic.E1000E, "/dev/nvme0n1", "e1000e"),
    Place("gce", ".tar.gz", "raw", Bus.VIRTIO_SCSI, Nic.VIRTIO, "/dev/sda", "virtio_net", "disk.raw"),
    Place("vmware", ".ova", "vmdk", Bus.PVSCSI, Nic.VMXNET3, "/dev/sda", "vmxnet3", ".vmdk"),
    Place("vagrant", ".virtualbox.box", "vmdk", Bus.AHCI, Nic.E1000, "/dev/sda", "e1000", ".vmdk"),
    # Xen's own devices are not in QEMU without Xen
    Place("rackspace", ".vhd", "vpc", Bus.VIRTIO, Nic.VIRTIO, "/dev/vda", "virtio_net"),
)
# read back block by block in the build tier, on hardware that is booted anyway
ELSEWHERE = {"brightbox", "eucalyptus", "libvirt", "openstack", "qemu"}


def test_every_platform_is_booted_or_named() -> None:
    assert {place.platform for place in PLACES} | ELSEWHERE == PLATFORMS.keys()


@pytest.fixture(scope="module")
def insecure_key(clients: Clients, tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    """The key that every Vagrant has, from Vagrant."""
    private = tmp_path_factory.mktemp("vagrant") / "key"
    shutil.copyfile(clients.insecure_key, private)
    private.chmod(0o600)
    return KeyPair(private, "")


@pytest.fixture
def disk(request: pytest.FixtureRequest, targets: Targets, host: Host) -> Iterator[Path]:
    """The disk of a place: the file itself, or what is in the archive."""
    place: Place = request.param
    file = targets.file(place.platform, place.suffix)
    if place.member is None:
        yield file
        return
    folder = host.machines / "unpacked"
    folder.mkdir(parents=True)
    with tarfile.open(file) as archive:
        [member] = [one for one in archive if one.name.endswith(place.member)]
        archive.extract(member, folder, filter="data")
    yield folder / member.name
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("place", "disk"), [(place, place) for place in PLACES], indirect=["disk"], ids=lambda one: one.platform
)
def test_the_file_itself_boots(place: Place, disk: Path, host: Host, insecure_key: KeyPair) -> None:
    assert disk_format(disk) == place.format
    vagrant = place.platform == "vagrant"
    key = insecure_key if vagrant else host.key()
    spec = MachineSpec(
        disk,
        bus=place.bus,
        nic=place.nic,
        forwards=(Forward(22),),
        # Vagrant's machines know its key from their own OEM partition
        credentials={} if vagrant else ssh_credentials(key),
        isolated=True,
    )
    with machine(spec, host) as made, boot(made) as running:
        running.wait_login(BOOT_SECONDS)
        guest = running.guest(key)
        guest.wait(SETTLE_SECONDS, running.alive)
        verdict = guest.attempt("systemctl is-system-running --wait", timeout=SETTLE_SECONDS).stdout
        assert verdict.strip() == "running"
        assert guest.run("findmnt -no SOURCE /").startswith(place.disk)
        drivers = "for card in /sys/class/net/*/device/driver; do basename $(readlink $card); done"
        assert place.driver in guest.run(drivers).split()
        release = guest.run(
            "mkdir /run/of-test && mount -o ro PARTLABEL=OEM /run/of-test && cat /run/of-test/oem-release"
        )
        assert release.startswith(f"ID={place.platform}\n")
        if not vagrant:
            assert running.guest(insecure_key).attempt("true").returncode == SSH_FAILED
        assert running.problems() == ()
        assert running.resets() == 0
        running.shutdown(SETTLE_SECONDS)
        assert running.problems() == ()
