"""Vagrant takes the catalogue and its boxes, and brings the one for libvirt up.

VirtualBox and VMware are not to be had here: their boxes are added, and booted from in
`tests/boot/test_platforms.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from builder.machine.console import Console
from builder.platforms.vagrant import PROVIDERS
from tests.clients.workspace import Desk
from tests.targets import Targets

NAMES = [provider.name for provider in PROVIDERS]
UP_SECONDS = 1200.0

# A machine of an ordinary user's libvirt has no bridge to be attached to, and this sandbox could
# not make one. QEMU's user network takes its place: what the plug-in would ask the bridge (its
# interfaces, the address that was leased) is known beforehand. All else is the plug-in's own.
VAGRANTFILE = """
require "vagrant-libvirt/driver"
require "vagrant-libvirt/util/network_util"
module VagrantPlugins::ProviderLibvirt
  class Driver
    def get_ipaddress(_domain = nil) = "127.0.0.1"
    def host_devices = ["virbr0"]
  end
  module Util::NetworkUtil
    def network_interfaces(_machine, _logger) = []
  end
end
Vagrant.configure("2") do |config|
  config.vm.box = "%(box)s"
  config.vm.boot_timeout = 900
  config.vm.hostname = "duck.example.org"
  config.vm.provision :shell, inline: "echo provisioned > /root/provisioned"
  config.ssh.guest_port = 2222
  config.vm.provider :libvirt do |libvirt|
    libvirt.uri = libvirt.system_uri = "qemu:///session"
    libvirt.qemu_use_session = true
    libvirt.driver = "qemu"
    libvirt.serial type: "file", source: {path: "/tmp/home/console.log"}
    %%w[-netdev user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:2222-:22
       -device virtio-net-pci,netdev=net,romfile=,addr=0x10 -cpu max].each do |word|
      libvirt.qemuargs value: word
    end
  end
end
"""

UP = """
cd "$1"
vagrant box add --provider libvirt "$2"
cd
vagrant up --provider libvirt
echo === inside
vagrant ssh -c 'id -un; cat /root/provisioned; findmnt -no SOURCE /; hostnamectl hostname'
echo === the well-known keys
for key in "$3".rsa "$3".ed25519; do
    install -m 600 "$key" well-known
    ssh -p 2222 -i well-known -F none -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no \\
        root@127.0.0.1 echo entered || echo status $?
done
echo === halt
vagrant halt
vagrant status --machine-readable
vagrant destroy --force
"""


def _place(desk: Desk, targets: Targets) -> tuple[str, str]:
    catalogue = targets.file("vagrant", ".json")
    return desk.inside(catalogue.parent), catalogue.name


def _catalogue(targets: Targets) -> Mapping[str, Any]:
    told = json.loads(targets.file("vagrant", ".json").read_text())
    assert isinstance(told, dict)
    return told


def test_the_catalogue_and_every_box_are_taken(desk: Desk, targets: Targets) -> None:
    place, catalogue = _place(desk, targets)
    script = """
        cd "$1"; catalogue="$2"; shift 2
        for provider; do vagrant box add --provider "$provider" "$catalogue" >&2; done
        vagrant box list
    """
    listed = desk.run(script, place, catalogue, *NAMES).stdout
    told = _catalogue(targets)
    [version] = told["versions"]
    expected = {(told["name"], name, version["version"]) for name in NAMES}
    found = [line.replace("(", "").replace(")", "").replace(",", "").split() for line in listed.splitlines()]
    assert expected <= {tuple(words) for words in found}


def test_a_box_that_was_changed_is_refused(desk: Desk, targets: Targets) -> None:
    place, catalogue = _place(desk, targets)
    script = """
        cp "$1"/*.libvirt.box .
        sed 's/"checksum": "./"checksum": "/' "$1/$2" > catalogue.json
        vagrant box add --provider libvirt catalogue.json
    """
    done = desk.run(script, place, catalogue, check=False)
    assert done.returncode != 0
    assert "checksum" in done.stdout


@pytest.mark.boot
def test_up_and_ssh(desk: Desk, targets: Targets) -> None:
    desk.write("Vagrantfile", VAGRANTFILE % {"box": _catalogue(targets)["name"]})
    key = "/" + str(desk.clients.insecure_key.with_suffix("").relative_to(desk.clients.root))
    said = desk.run(UP, *_place(desk, targets), key, timeout=UP_SECONDS).stdout
    before, _, rest = said.partition("=== inside\n")
    inside, _, rest = rest.partition("=== the well-known keys\n")
    knock, _, after = rest.partition("=== halt\n")
    # one of them let Vagrant in, and nobody since
    assert "Vagrant insecure key detected" in before
    assert inside.split() == ["root", "provisioned", "/dev/vda10", "duck"]
    assert "entered" not in knock
    assert knock.count("status 255") == 2
    assert "state,shutoff" in after
    assert Console(desk.home / "console.log").problems() == ()
