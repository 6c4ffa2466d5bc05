"""Eucalyptus: a raw disk to bundle, and the request that registers the bundle."""

from __future__ import annotations

from builder.formats.content import save_raw
from builder.platforms.base import Job, Need, Platform

DATA = ("templates/eucalyptus",)


def _make(job: Job) -> None:
    save_raw(job.content, job.file(".raw"))
    job.write(".register-image.json", "register-image.json.j2")


PLATFORM = Platform(
    name="eucalyptus",
    description="Eucalyptus: raw disk, request to register it",
    outputs=(".raw", ".register-image.json"),
    make=_make,
    needs=(Need.DISK,),
)
