"""VMware: an OVA for vSphere, a .vmx with its disk for Workstation and Fusion."""

from __future__ import annotations

from builder.formats.archive import Member, tar
from builder.formats.content import hashed, length
from builder.formats.vmdk import Vmdk, sparse_vmdk, stream_vmdk
from builder.platforms.base import Job, Platform

DATA = ("templates/vmware",)

# virtual hardware of ESXi 7.0 and Workstation 16, the oldest that have maintenance
HARDWARE = 17


def _make(job: Job) -> None:
    disk = Vmdk(job.file(".vmdk").name, HARDWARE)
    job.save(".vmdk", sparse_vmdk(job.content, disk))
    job.write(".vmx", "machine.vmx.j2", hardware=HARDWARE)
    job.save(".ova", tar(_ova(job), epoch=job.context.epoch))


def _ova(job: Job) -> list[Member]:
    """OVF, manifest, disk: in this order, or importers that read a stream refuse it (DSP0243, 6.4)."""
    vmdk = Vmdk(f"{job.stem}-disk1.vmdk", HARDWARE)
    size, digest = length(stream_vmdk(job.content, vmdk)), hashed(stream_vmdk(job.content, vmdk))
    populated = length(job.content.chunks.values())
    ovf = Member.text(
        f"{job.stem}.ovf",
        job.text("machine.ovf.j2", hardware=HARDWARE, file=vmdk.name, size=size, populated=populated),
    )
    # DSP0243, 6.3: one line for each file, in the order of the archive
    digests = {ovf.name: hashed(ovf.pieces()), vmdk.name: digest}
    manifest = "".join(f"SHA256({name})= {value}\n" for name, value in digests.items())
    return [
        ovf,
        Member.text(f"{job.stem}.mf", manifest),
        Member(vmdk.name, lambda: stream_vmdk(job.content, vmdk)),
    ]


PLATFORM = Platform(
    name="vmware",
    description="VMware: OVA for vSphere; .vmx and VMDK for Workstation and Fusion",
    outputs=(".ova", ".vmdk", ".vmx"),
    make=_make,
)
