"""Boot: what a built image is and does, seen from inside the running guest and from its console.

Three clones of one image run at once: `first` and `second` let the checkout's key in, `closed`
was given no credential. `first` is booted here; the others had a first boot of their own, when their
snapshots were made. The tests that change a machine stand last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from builder.audit.findings import judge
from builder.audit.policy import Check, LoadedPolicy
from builder.audit.sockets import COMMAND, check_sockets
from builder.formats.gpt import ALIGNMENT, ESP_SIZE, MIB, USR_SIZE
from builder.machine.credentials import checkout_key
from builder.machine.files import Host, Machine, machine
from builder.machine.guest import SSH_FAILED
from builder.machine.probe import Running, boot
from builder.machine.qemu import DISK_PATH, Bus, MachineSpec, Nic
from builder.sandbox.run import run
from tests.booted import BOOT_SECONDS, SETTLE_SECONDS, Booted, Warm, let_in, spec_of, up

pytestmark = pytest.mark.boot

LARGER_DISK = 12  # GiB; the image's own has 8
GIB = 1 << 30
# docs/concepts.md, "The disk": slot A starts after ESP and BIOS-BOOT
USR_START = ALIGNMENT + ESP_SIZE + MIB
VERITY_START = USR_START + USR_SIZE


def identity(booted: Booted) -> dict[str, str]:
    """What must differ between machines and stay the same on each."""
    return {
        "machine id": booted.ask("cat /etc/machine-id"),
        "host key": booted.ask("cat /etc/ssh/ssh_host_ed25519_key.pub"),
        "disk GUID": booted.ask("lsblk -ndo PTUUID /dev/vda"),
    }


@pytest.fixture(scope="module")
def spec(image: Path, host: Host) -> MachineSpec:
    return spec_of(image, host, disk_size=LARGER_DISK, isolated=True)


@dataclass(frozen=True)
class Clones:
    first: Booted
    second: Booted
    closed: Booted


@pytest.fixture(scope="module")
def clones(spec: MachineSpec, host: Host, warm: Warm) -> Iterator[Clones]:
    """Three machines of one image that run together; each boots alone, since it needs all cores."""
    with ExitStack() as stack:

        def start(its: MachineSpec, *, enter: bool = True) -> Booted:
            made = stack.enter_context(machine(its, host))
            running = stack.enter_context(boot(made))
            if enter:
                return let_in(made, running)
            running.wait_login(BOOT_SECONDS)
            return Booted(running, running.guest(host.key()))

        first, second = start(spec), start(warm(spec))
        closed = start(warm(replace(spec, credentials={})), enter=False)
        yield Clones(first, second, closed)


@pytest.fixture(scope="module")
def first(clones: Clones) -> Booted:
    return clones.first


# what the machine is


def test_it_is_what_the_manifest_says(first: Booted) -> None:
    release = dict(re.findall(r'(?m)^(\w+)="?(.*?)"?$', first.ask("cat /etc/os-release")))
    assert release["ID"] == "colvert"
    assert "gentoo" in release["ID_LIKE"].split()
    assert release["IMAGE_ID"]
    assert release["IMAGE_VERSION"]


def test_usr_is_erofs_on_verity(first: Booted) -> None:
    assert first.ask("findmnt -no FSTYPE /usr") == "erofs"
    device = first.ask("findmnt -no SOURCE /usr")
    assert device == "/dev/mapper/usr"
    assert first.ask("dmsetup info --columns --noheadings -o uuid usr").startswith("CRYPT-VERITY-")
    assert "ro" in first.ask("findmnt -no OPTIONS /usr").split(",")


def test_the_command_line_names_the_running_slot(first: Booted) -> None:
    found = re.search(r"usrhash=([0-9a-f]{64})", first.ask("cat /proc/cmdline"))
    assert found
    halves = [found[1][:32], found[1][32:]]
    for half in halves:
        name = "-".join((half[:8], half[8:12], half[12:16], half[16:20], half[20:]))
        assert first.ask(f"test -b /dev/disk/by-partuuid/{name} && echo there") == "there"


def test_the_name_of_usr_outlives_the_events_of_the_real_root(first: Booted) -> None:
    """Whoever made /dev/mapper/usr in the initrd, udev or libdevmapper: udev's rules keep it."""
    first.ask("rm -f /dev/mapper/usr && udevadm trigger --action=add --settle /sys/class/block/dm-0")
    assert first.ask("test -b /dev/mapper/usr && echo there") == "there"


@pytest.mark.parametrize(
    "attempt",
    ["touch /usr/new", "rm /usr/lib/os-release", "mount -o remount,rw /usr && touch /usr/new"],
)
def test_usr_refuses_writes(first: Booted, attempt: str) -> None:
    assert first.guest.attempt(attempt).returncode not in (0, SSH_FAILED)
    assert first.guest.attempt("test -e /usr/new || test ! -e /usr/lib/os-release").returncode == 1


def test_root_was_made_and_fills_the_disk(first: Booted) -> None:
    device = first.ask("findmnt -no SOURCE /")
    assert first.ask(f"lsblk -ndo PARTLABEL {device}") == "ROOT"
    partition = int(first.ask(f"lsblk -bndo SIZE {device}"))
    start = int(first.ask(f"cat /sys/class/block/$(basename $(readlink -f {device}))/start")) * 512
    assert LARGER_DISK * GIB - (start + partition) <= 2 * MIB
    # the file system too, less its own tables
    assert int(first.ask("findmnt -bno SIZE /")) > partition * 0.9


def test_etc_takes_changes(first: Booted) -> None:
    assert first.ask("echo mine > /etc/mine && cat /etc/mine") == "mine"


def test_no_unit_failed(first: Booted) -> None:
    assert first.ask("systemctl list-units --failed --no-legend --plain") == ""
    assert first.settled() == "running"


def test_it_listens_only_on_what_the_policy_names(first: Booted, policy: LoadedPolicy) -> None:
    first.healthy()
    text = first.ask(COMMAND)
    found = list(check_sockets(text))
    verdict = judge(found, policy, (Check.SOCKETS,))
    assert [f"{one.where or ''} {one.subject} {one.what}" for one in verdict.findings] == [], text
    # we came in by ssh, so a list without it would be a wrong list
    assert any(one.detail.startswith("tcp/22 ") for one in found)


def test_the_entry_is_blessed(first: Booted) -> None:
    first.settled()
    assert first.ask("systemctl is-active boot-complete.target") == "active"
    entries = first.ask("for d in /efi /boot; do ls $d/EFI/Linux 2>/dev/null; done; true").split()
    assert entries
    assert not [entry for entry in entries if "+" in entry]


def test_the_firmware_console_and_journal_are_clean(clones: Clones) -> None:
    for booted in (clones.first, clones.second, clones.closed):
        assert booted.running.problems() == ()
        # a reset that nothing on the console explains is told with all that there is
        assert booted.running.resets() == 0, booted.running.told()
    # waiting for ssh knocks before sshd's answer is waited for, and sshd calls that an error
    knocks = re.compile(r"sshd-session\[\d+\]: error: kex_exchange_identification: ")
    lines = clones.first.ask("journalctl -b -q -p err --no-pager").splitlines()
    assert [line for line in lines if not knocks.search(line)] == []


# who gets in


def test_the_key_opens(first: Booted) -> None:
    assert first.ask("id -u") == "0"


def test_without_a_key_nobody_gets_in(clones: Clones) -> None:
    stranger = replace(clones.first.guest, key=None)
    assert stranger.attempt("true").returncode == SSH_FAILED


def test_another_key_does_not_open(clones: Clones, tmp_path: Path) -> None:
    stranger = replace(clones.first.guest, key=checkout_key(tmp_path))
    assert stranger.attempt("true").returncode == SSH_FAILED


def test_without_a_credential_the_key_opens_nothing(clones: Clones) -> None:
    assert clones.closed.guest.attempt("true").returncode == SSH_FAILED


@pytest.mark.parametrize("name", [b"root", b"nobody"])
def test_the_console_lets_nobody_in_without_a_password(clones: Clones, name: bytes) -> None:
    running = clones.closed.running
    position = running.console.position()
    running.type(b"\r")
    running.wait_for("login:", 120, after=position)
    running.type(name + b"\r")
    running.wait_for(r"Password:|incorrect", 120, after=position)
    running.type(b"\r")
    running.wait_for(r"(?i)incorrect|denied", 120, after=position)


# machines differ, and stay what they are


def test_clones_differ(clones: Clones) -> None:
    one, other = identity(clones.first), identity(clones.second)
    assert all(one.values())
    assert {name for name in one if one[name] == other[name]} == set()


def test_a_second_boot_is_the_same_machine(clones: Clones) -> None:
    first = clones.first
    before = identity(first)
    uuid = first.ask("findmnt -no UUID /")
    first.ask("echo mine > /etc/mine; echo kept > /root/marker && sync")
    position = first.running.console.position()
    first.reboot()
    assert identity(first) == before
    assert first.ask("findmnt -no UUID /") == uuid
    assert first.ask("cat /root/marker /etc/mine") == "kept\nmine"
    assert first.settled() == "running"
    assert first.running.console.problems(after=position) == ()


def test_the_power_button_switches_off(clones: Clones) -> None:
    clones.second.running.shutdown(SETTLE_SECONDS)
    assert clones.second.running.problems() == ()


# machines help themselves


def test_a_panic_restarts_the_machine(clones: Clones) -> None:
    panicking = clones.first
    count = panicking.running.resets()
    # the session ends without an answer
    panicking.guest.attempt("(sleep 1; echo c > /proc/sysrq-trigger) >/dev/null 2>&1 &")
    panicking.running.wait_reset(count + 1, SETTLE_SECONDS)
    assert any(problem.kind == "kernel-panic" for problem in panicking.running.problems())


def _corrupt(made: Machine, start: int, size: int) -> None:
    """Overwrite bytes of a machine's disk, which is off."""
    argv = ["qemu-io", "-f", "qcow2", "-c", f"write -P 0x5a {start} {size}", DISK_PATH]
    assert f"wrote {size}" in run(argv, sandbox=made.sandbox()).stdout


@pytest.mark.parametrize("start", [USR_START, VERITY_START], ids=["usr", "hash-tree"])
def test_a_corrupted_slot_restarts_instead_of_hanging(spec: MachineSpec, host: Host, start: int) -> None:
    with machine(spec, host) as made:
        _corrupt(made, start, 4096)
        with boot(made) as running:
            # each failed boot restarts, so that the boot loader can count it
            running.wait_reset(2, BOOT_SECONDS)
            kinds = {problem.kind for problem in running.problems()}
            # a damaged superblock is what veritysetup tells, not the kernel
            assert kinds & {"verity", "unit-failed"}
            assert "emergency" not in kinds
            assert "login:" not in running.console.text()


def _throttle(running: Running, speed: int) -> None:
    """Let the disk pass so many bytes a second from now on; 0: as many as it can."""
    rest = dict.fromkeys(("bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"), 0)
    running.qmp.execute("block_set_io_throttle", {"device": "disk", "bps": speed, **rest})


@pytest.mark.long
def test_a_disk_that_does_not_answer_the_kernel_restarts_the_machine(spec: MachineSpec, host: Host) -> None:
    """Nothing else would end that boot: no program runs yet that could feed or open a watchdog."""
    with machine(spec, host) as made, boot(made) as running:
        running.wait_for("Linux version", BOOT_SECONDS)
        _throttle(running, 1)
        # a task that waits for two minutes is looked for every two minutes
        running.wait_for("Kernel panic - not syncing: hung_task: blocked tasks", 360)
        _throttle(running, 0)
        running.wait_reset(1, SETTLE_SECONDS)
        guest = running.guest(host.key())
        guest.wait(BOOT_SECONDS, running.alive)
        assert guest.run("systemctl is-system-running --wait", timeout=SETTLE_SECONDS).strip() == "running"
        assert guest.run("sysctl -n kernel.hung_task_panic").strip() == "0"


def test_the_disk_is_found_on_every_bus(spec: MachineSpec, host: Host) -> None:
    """One kernel for all places: here NVMe, as on EC2 and on a laptop."""
    with up(replace(spec, bus=Bus.NVME, nic=Nic.E1000E), host) as booted:
        assert booted.ask("findmnt -no SOURCE /").startswith("/dev/nvme0n1")
        assert booted.running.problems() == ()
