"""Amazon EC2: a VMDK to import as a snapshot, a raw disk, and the requests for both steps."""

from __future__ import annotations

from builder.formats.content import save_raw
from builder.formats.vmdk import Vmdk, stream_vmdk
from builder.platforms.base import Job, Platform
from builder.quantities import GIB

DATA = ("templates/ec2",)

# what an import reads says nothing of the machine that will run
HARDWARE = 17


def _make(job: Job) -> None:
    vmdk = Vmdk(job.file(".vmdk").name, HARDWARE)
    job.save(".vmdk", stream_vmdk(job.content, vmdk))
    save_raw(job.content, job.file(".raw"))
    job.write(".import-snapshot.json", "import-snapshot.json.j2")
    job.write(".register-image.json", "register-image.json.j2")


PLATFORM = Platform(
    name="ec2",
    description="Amazon EC2: stream-optimized VMDK, raw disk, requests to import and register",
    outputs=(".import-snapshot.json", ".raw", ".register-image.json", ".vmdk"),
    make=_make,
    unit=GIB,
)
