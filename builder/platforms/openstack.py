"""OpenStack: qcow2, and its properties for Glance."""

from __future__ import annotations

from builder.formats.qcow2 import qcow2
from builder.platforms.base import Job, Platform

DATA = ("templates/openstack",)


def _make(job: Job) -> None:
    job.save(".qcow2", qcow2(job.content))
    job.write(".json", "image.json.j2")


PLATFORM = Platform(
    name="openstack",
    description="OpenStack: qcow2, image properties",
    outputs=(".json", ".qcow2"),
    make=_make,
)
