"""Boot: the files that the platforms' targets emit, on the hardware of their platforms.

Nothing is converted on the way: QEMU reads the VMDK, VHD or raw disk itself and keeps what
the machine writes in a layer above it. Not booted are brightbox, eucalyptus, libvirt and
openstack: `tests/build/test_platforms.py` finds the same blocks in their files, and their
hardware (virtio) is that of the target qemu, which `test_boot.py` boots.

VMware's firmware has a driver for PVSCSI, Debian's has none any more. There the firmware starts
from a copy of the ESP on a disk beside, and everything after the UKI comes from the disk itself.
"""

from __future__ import annotations

import re
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.formats.gpt import ALIGNMENT
from builder.machine.credentials import KeyPair, ssh_credentials
from builder.machine.files import Host, disk_format, machine
from builder.machine.guest import SSH_FAILED
from builder.machine.probe import LOGIN_SECONDS, boot
from builder.machine.qemu import Bus, Nic
from builder.platforms import PLATFORMS
from builder.tools.workspace import bench
from tests.booted import spec_of
from tests.clients.root import Clients
from tests.targets import Targets

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
    # whether our firmware can read from such a controller
    bootable: bool = True


PLACES = (
    # ENA is not in QEMU; e1000e is a PCI Express device too
    Place("ec2", ".vmdk", "vmdk", Bus.NVME, Nic.E1000E, "/dev/nvme0n1", "e1000e"),
    Place("gce", ".tar.gz", "raw", Bus.VIRTIO_SCSI, Nic.VIRTIO, "/dev/sda", "virtio_net", "disk.raw"),
    Place("vmware", ".ova", "vmdk", Bus.PVSCSI, Nic.VMXNET3, "/dev/sda", "vmxnet3", ".vmdk", False),
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


@pytest.fixture(params=PLACES, ids=[place.platform for place in PLACES])
def place(request: pytest.FixtureRequest) -> Place:
    found = request.param
    assert isinstance(found, Place)
    return found


@pytest.fixture
def disk(place: Place, targets: Targets, host: Host) -> Iterator[Path]:
    """The disk of a place: the file itself, or what is in the archive."""
    file = targets.file(place.platform, place.suffix)
    if place.member is None:
        yield file
        return
    folder = host.machines / "unpacked"
    folder.mkdir(parents=True)
    try:
        with tarfile.open(file) as archive:
            [member] = [one for one in archive if one.name.endswith(place.member)]
            # Python before 3.11.4 has no filters
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extract(member, folder)
        yield folder / member.name
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def loader(place: Place, targets: Targets, sdk_root: Path, host: Host) -> Iterator[Path | None]:
    """A disk with a copy of the ESP and nothing else, where the firmware needs one.

    Its UKI has no counter: the boot loader would count there, and the system look on its own ESP.
    """
    if place.bootable:
        yield None
        return
    out = host.machines / "loader.raw"
    with bench(out, sdk_root, {"disk": targets.file("eucalyptus", ".raw")}) as table:
        table.run("cp", "--sparse=always", table.source("disk"), table.target("loader"))
        disk = table.target("loader")
        table.run("sfdisk", "--quiet", "--delete", disk, *(str(number) for number in range(2, 10)))
        esp, folder = f"{disk}@@{ALIGNMENT}", "::EFI/Linux"
        [uki] = table.run("mdir", "-b", "-i", esp, folder).stdout.split()
        table.run("mren", "-i", esp, uki, re.sub(r"\+\d+(?=\.efi$)", "", uki).rpartition("/")[2])
        table.take("loader", out)
    out.chmod(0o666)  # whoever QEMU runs as
    yield out
    out.unlink()


def test_the_file_itself_boots(
    place: Place, disk: Path, host: Host, insecure_key: KeyPair, loader: Path | None
) -> None:
    assert disk_format(disk) == place.format
    vagrant = place.platform == "vagrant"
    key = insecure_key if vagrant else host.key()
    # Vagrant's machines know its key from their own OEM partition
    credentials = {} if vagrant else ssh_credentials(key)
    spec = spec_of(
        disk, host, bus=place.bus, nic=place.nic, isolated=True, loader=loader, credentials=credentials
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
