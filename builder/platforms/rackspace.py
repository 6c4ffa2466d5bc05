"""Rackspace Cloud Servers: VHD, and the task that imports it."""

from __future__ import annotations

from builder.platforms.base import Job, Need, Platform
from builder.tools.vhd import make_vhd

DATA = ("templates/rackspace",)


def _make(job: Job) -> None:
    context = job.context
    make_vhd(job.content, job.file(".vhd"), sdk_root=context.sdk_root, epoch=context.epoch)
    job.write(".import.json", "import.json.j2")


PLATFORM = Platform(
    name="rackspace",
    description="Rackspace Cloud Servers: VHD, import task",
    outputs=(".import.json", ".vhd"),
    make=_make,
    needs=(Need.DISK,),
)
