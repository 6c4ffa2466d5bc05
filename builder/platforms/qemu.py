"""Platforms: QEMU on any Linux machine; a start script that needs nothing of Colvert."""

from __future__ import annotations

import shutil
from pathlib import Path

from builder.errors import Code, ColvertError
from builder.formats.qcow2 import make_qcow2
from builder.platforms.base import Job, Platform

# UEFI firmware of the SDK, without Secure Boot's system management mode
CODE = "usr/share/OVMF/OVMF_CODE_4M.fd"
VARS = "usr/share/OVMF/OVMF_VARS_4M.fd"
MEMORY = 1 << 30
CPUS = 2


def _make(job: Job) -> None:
    make_qcow2(job.disk, job.file(".qcow2"), sdk_root=job.context.sdk_root)
    for suffix, name in ((".code.fd", CODE), (".vars.fd", VARS)):
        _copy(job.context.sdk_root / name, job.file(suffix))
    memory, cpus = (
        job.context.settings.get(key, usual) for key, usual in (("memory", MEMORY), ("cpus", CPUS))
    )
    mebibytes = int(str(memory)) >> 20
    job.write(".sh", "start.sh.j2", mode=0o755, memory=mebibytes, cpus=cpus)


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        raise ColvertError(Code.SDK_FAILED, f"the SDK has no {source.name}", hint="add ovmf to its packages")
    shutil.copyfile(source, target)
    target.chmod(0o644)


PLATFORM = Platform(
    name="qemu",
    description="QEMU: qcow2, UEFI firmware, a start script",
    outputs=(".code.fd", ".qcow2", ".sh", ".vars.fd"),
    make=_make,
)
