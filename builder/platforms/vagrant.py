"""Vagrant: a box for each of three providers, and their catalogue.

The key that every Vagrant knows, and so everybody else, is in this platform's OEM partition
and in no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

from builder.formats.archive import Member, gzip, tar
from builder.formats.content import length
from builder.formats.qcow2 import qcow2
from builder.formats.vmdk import Vmdk, sparse_vmdk, stream_vmdk
from builder.platforms.base import Job, Platform

DATA = ("templates/vagrant",)

# as in vmware.py
HARDWARE = 17


@dataclass(frozen=True)
class Provider:
    """One that runs boxes: its name in Vagrant, and what a box of it holds beside the common files."""

    name: str
    members: Callable[[Job], Iterable[Member]]

    @property
    def suffix(self) -> str:
        return f".{self.name}.box"


def _libvirt(job: Job) -> Iterable[Member]:
    yield Member("box.img", lambda: qcow2(job.content))


def _virtualbox(job: Job) -> Iterable[Member]:
    vmdk = Vmdk("box-disk1.vmdk", HARDWARE)
    size = length(stream_vmdk(job.content, vmdk))
    yield Member.text("box.ovf", job.text("box.ovf.j2", file=vmdk.name, size=size))
    yield Member(vmdk.name, lambda: stream_vmdk(job.content, vmdk))


def _vmware(job: Job) -> Iterable[Member]:
    vmdk = Vmdk("box.vmdk", HARDWARE)
    yield Member.text("box.vmx", job.text("box.vmx.j2", file=vmdk.name, hardware=HARDWARE))
    yield Member(vmdk.name, lambda: sparse_vmdk(job.content, vmdk))


PROVIDERS = (
    Provider("libvirt", _libvirt),
    Provider("virtualbox", _virtualbox),
    Provider("vmware_desktop", _vmware),
)


def _mac(job: Job) -> str:
    """The address of VirtualBox's first adapter, in its own range: the box's, and always the same."""
    return f"080027{sha256(job.stem.encode()).hexdigest()[:6]}".upper()


def _make(job: Job) -> None:
    rows = []
    for provider in PROVIDERS:
        name = provider.name
        members = [
            Member.text("metadata.json", job.text("metadata.json.j2", provider=name)),
            Member.text("Vagrantfile", job.text("Vagrantfile.j2", provider=name, mac=_mac(job))),
            *provider.members(job),
        ]
        box = job.save(provider.suffix, gzip(tar(members, epoch=job.context.epoch)))
        rows.append({"name": name, "file": box.name, "sha256": job.sha256(provider.suffix)})
    job.write(".json", "catalogue.json.j2", providers=rows)


PLATFORM = Platform(
    name="vagrant",
    description="Vagrant: boxes for libvirt, virtualbox and vmware_desktop, and their catalogue",
    outputs=(".json", *(provider.suffix for provider in PROVIDERS)),
    make=_make,
)
