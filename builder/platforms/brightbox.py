"""Brightbox: qcow2, and the request that registers it."""

from __future__ import annotations

from builder.formats.qcow2 import qcow2
from builder.platforms.base import Job, Platform

DATA = ("templates/brightbox",)


def _make(job: Job) -> None:
    job.save(".qcow2", qcow2(job.content))
    job.write(".image.json", "image.json.j2")


PLATFORM = Platform(
    name="brightbox",
    description="Brightbox: qcow2, request to register it",
    outputs=(".image.json", ".qcow2"),
    make=_make,
)
