"""The unified kernel image: kernel, initrd and command line in one EFI program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from builder.arch import Architecture
from builder.errors import Code, ColvertError
from builder.tools.workspace import bench


@dataclass(frozen=True)
class UkiParts:
    """What one UKI is made of. The stub comes from the image's own systemd, never from the SDK's."""

    architecture: Architecture
    kernel: Path
    initrd: Path
    cmdline: str
    os_release: Path
    uname: str
    stub: Path


def make_uki(parts: UkiParts, out: Path, *, sdk_root: Path, limit: int | None = None) -> Path:
    """Write an unsigned UKI to `out`; signing is the release's business."""
    inputs = {
        "kernel": parts.kernel,
        "initrd": parts.initrd,
        "os-release": parts.os_release,
        "stub": parts.stub,
    }
    for name, path in inputs.items():
        if not path.is_file():
            raise ColvertError(
                Code.IMAGE_INVALID,
                f"the image has no {name}: {path.name} is missing",
                hint="the manifest needs a kernel and sys-apps/systemd[boot]",
            )
    with bench(out, sdk_root, inputs) as table:
        table.run(
            "ukify", "build", "--linux", table.source("kernel"), "--initrd", table.source("initrd"),
            "--cmdline", parts.cmdline, "--os-release", f"@{table.source('os-release')}",
            "--uname", parts.uname, "--stub", table.source("stub"), "--efi-arch", parts.architecture.efi,
            "--output", table.target("uki"),
        )  # fmt: skip
        table.measure("uki", "the UKI", limit, "take kernel features or lines of initrd.list out")
        return table.take("uki", out)
