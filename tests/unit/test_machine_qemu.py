"""Machine: QEMU's command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import Code, ColvertError
from builder.machine.accel import Accel
from builder.machine.qemu import Bus, Firmware, Forward, GuestForward, MachineSpec, Nic, command_line

SPEC = MachineSpec(disk=Path("/images/colvert.qcow2"))

GOLDEN = """\
qemu-system-x86_64
-nodefaults
-no-user-config
-machine
q35,smm=off
-accel
tcg,thread=multi
-cpu
max
-smp
2
-m
1024
-drive
if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd
-drive
if=pflash,unit=1,format=raw,file=/run/disk/vars.fd
-display
none
-drive
if=none,id=disk,format=qcow2,discard=unmap,cache=unsafe,file=/run/disk/disk.qcow2
-device
virtio-blk-pci,drive=disk,bootindex=0
-netdev
user,id=net,hostfwd=tcp:127.0.0.1:0-:22
-device
virtio-net-pci,netdev=net,romfile=
-chardev
socket,id=serial,path=/run/machine/serial.sock,server=on,wait=off,\
logfile=/run/machine/console.log,logappend=on
-serial
chardev:serial
-chardev
socket,id=qmp,path=/run/machine/qmp.sock,server=on,wait=off
-mon
chardev=qmp,mode=control
-device
i6300esb
-action
watchdog=reset
-device
virtio-rng-pci
-device
vmgenid,guid=auto
-smbios
type=11,value=io.systemd.credential.binary:motd=aGVsbG8=
"""


def words(spec: MachineSpec, accel: Accel = Accel.TCG, *, durable: bool = False) -> str:
    return " ".join(command_line(spec, accel, durable=durable))


def test_the_whole_command_line() -> None:
    spec = replace(SPEC, forwards=(Forward(22),), credentials={"motd": "hello"})
    assert command_line(spec, Accel.TCG, durable=False) == GOLDEN.splitlines()


def test_a_disk_that_the_firmware_cannot_read_has_another_one_start_it() -> None:
    spec = replace(SPEC, bus=Bus.PVSCSI, loader=Path("/images/loader.raw"))
    said = command_line(spec, Accel.TCG, durable=False)
    assert "scsi-hd,drive=disk" in said
    assert [word for word in said if "bootindex" in word] == ["virtio-blk-pci,drive=loader,bootindex=0"]
    assert not any("/images" in word for word in said)


def test_nothing_of_the_host_is_on_the_command_line() -> None:
    assert "/images" not in words(SPEC)


def test_kvm_takes_the_hosts_processor() -> None:
    assert "-accel kvm -cpu host" in words(SPEC, Accel.KVM)
    assert "-cpu qemu64" in words(replace(SPEC, cpu="qemu64"), Accel.KVM)


def test_a_kept_disk_is_written_safely() -> None:
    assert "cache=writeback" in words(SPEC, durable=True)
    assert "cache=unsafe" not in words(SPEC, durable=True)


def test_secure_boot_guards_the_variables() -> None:
    line = words(replace(SPEC, firmware=Firmware.secure(Path("/keys/vars.fd"))))
    assert "q35,smm=on" in line
    assert "driver=cfi.pflash01,property=secure,value=on" in line
    assert "OVMF_CODE_4M.secboot.fd" in line


@pytest.mark.parametrize("bus", list(Bus))
def test_every_bus_boots_from_the_one_disk(bus: Bus) -> None:
    line = words(replace(SPEC, bus=bus))
    assert line.count("drive=disk,") == 1
    assert "bootindex=0" in line


@pytest.mark.parametrize("nic", list(Nic))
def test_no_card_brings_a_boot_rom(nic: Nic) -> None:
    assert f"{nic},netdev=net,romfile=" in words(replace(SPEC, nic=nic))


def test_options_that_are_off_leave_no_word() -> None:
    line = words(SPEC)
    for word in ("-no-reboot", "VGA", "restrict", "hostfwd", "smbios"):
        assert word not in line
    on = words(replace(SPEC, reboot=False, display=True, isolated=True, extra=("-S",)))
    for word in ("-no-reboot", "VGA", "restrict=on", "-S"):
        assert word in on


def test_a_comma_in_an_oem_string_is_written_as_qemu_wants_it() -> None:
    line = command_line(replace(SPEC, oem_strings=("a,b",)), Accel.TCG, durable=False)
    assert "type=11,value=a,,b" in line


def test_the_firmwares_tables_say_whose_machine_it_is() -> None:
    fields = {"manufacturer": "VMware, Inc.", "product": "VMware7,1"}
    line = command_line(replace(SPEC, smbios={1: fields}), Accel.TCG, durable=False)
    assert line[-2:] == ["-smbios", "type=1,manufacturer=VMware,, Inc.,product=VMware7,,1"]


def test_an_address_of_the_guests_network_leads_to_the_host() -> None:
    spec = replace(SPEC, guest_forward=GuestForward("169.254.169.254", 80, 4711), isolated=True)
    line = command_line(spec, Accel.TCG, durable=False)
    [network] = [word for word in line if word.startswith("user,")]
    assert network.startswith("user,id=net,restrict=on,net=169.0.0.0/8,guestfwd=tcp:169.254.169.254:80-cmd:")
    assert "/dev/tcp/127.0.0.1/4711" in network
    # QEMU's own separator must not be in the program
    assert network.count(",") == 4


@given(st.integers(1, 65535), st.integers(1, 65535))
def test_forwards_are_read_as_written(host: int, guest: int) -> None:
    assert Forward.parse(f"{host}:{guest}") == Forward(guest, host)
    assert Forward.parse(str(guest)) == Forward(guest)


@pytest.mark.parametrize("text", ["", "0", "1:0", "65536", "70000:1", "a:b", "1:2:3", "-1", "22 ", "²"])
def test_other_forwards_are_refused(text: str) -> None:
    with pytest.raises(ColvertError) as caught:
        Forward.parse(text)
    assert caught.value.code is Code.USAGE
