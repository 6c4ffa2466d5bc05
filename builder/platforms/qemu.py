"""QEMU on any Linux machine: qcow2, firmware, and a start script that does without Colvert."""

from __future__ import annotations

import shutil
from pathlib import Path

from builder.errors import Code, ColvertError
from builder.formats.qcow2 import qcow2
from builder.platforms.base import Job, Platform

DATA = ("templates/qemu",)


def _make(job: Job) -> None:
    job.save(".qcow2", qcow2(job.content))
    # UEFI firmware of the SDK, without Secure Boot's system management mode
    board = job.context.architecture.board
    for suffix, name in ((".code.fd", board.code), (".vars.fd", board.variables)):
        _copy(job.context.sdk_root / name.lstrip("/"), job.file(suffix), board.firmware_package)
    job.write(".sh", "start.sh.j2", mode=0o755)


def _copy(source: Path, target: Path, package: str) -> None:
    if not source.is_file():
        raise ColvertError(
            Code.SDK_FAILED, f"the SDK has no {source.name}", hint=f"add {package} to its packages"
        )
    shutil.copyfile(source, target)
    target.chmod(0o644)


PLATFORM = Platform(
    name="qemu",
    description="QEMU: qcow2, UEFI firmware, a start script",
    outputs=(".code.fd", ".qcow2", ".sh", ".vars.fd"),
    make=_make,
)
