"""Google Compute Engine: an archive of `disk.raw`, and the request that makes an image of it."""

from __future__ import annotations

import re

from builder.formats.archive import gzip, sparse_tar
from builder.platforms.base import Job, Platform
from builder.quantities import GIB

DATA = ("templates/gce",)

# names of images: small letters, digits and dashes, at most 63, no dash at either end
NAME_MAX = 63


def _make(job: Job) -> None:
    job.save(".tar.gz", gzip(sparse_tar("disk.raw", job.content, epoch=job.context.epoch)))
    name = re.sub(r"[^a-z0-9]+", "-", f"{job.context.id}-{job.context.version}".lower())[:NAME_MAX].strip("-")
    family = re.sub(r"[^a-z0-9]+", "-", job.context.id).strip("-")
    job.write(".image.json", "image.json.j2", name=name, family=family)


PLATFORM = Platform(
    name="gce",
    description="Google Compute Engine: tar.gz of disk.raw, request to make an image",
    outputs=(".image.json", ".tar.gz"),
    make=_make,
    unit=GIB,
)
