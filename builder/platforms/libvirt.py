"""libvirt: qcow2, and a domain that runs it."""

from __future__ import annotations

from builder.formats.qcow2 import qcow2
from builder.platforms.base import Job, Platform

DATA = ("templates/libvirt",)


def _make(job: Job) -> None:
    job.save(".qcow2", qcow2(job.content))
    job.write(".xml", "domain.xml.j2")


PLATFORM = Platform(
    name="libvirt",
    description="libvirt: qcow2, domain XML",
    outputs=(".qcow2", ".xml"),
    make=_make,
)
