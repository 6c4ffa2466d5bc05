"""EFI system partition: a FAT32 file system with a loader's files."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from builder.boot.base import BootFiles, Loader
from builder.errors import Code, ColvertError
from builder.tools.esp import make_fat


def make_esp(
    loader: Loader, given: BootFiles, out: Path, *, sdk_root: Path, size: int, epoch: int, identity: str
) -> Path:
    """Write an ESP of `size` bytes; its volume id follows from `identity`."""
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.conf.") as work:
        files = loader.files(given, Path(work))
        needed = sum(path.stat().st_size for path in files.values())
        if needed + (4 << 20) > size:
            raise ColvertError(
                Code.TOO_LARGE,
                f"loader and UKI have {needed / 2**20:.1f} MiB, the ESP {size / 2**20:.0f} MiB",
                hint="build a smaller kernel or initrd",
            )
        Path(work).chmod(0o755)
        return make_fat(
            files,
            out,
            sdk_root=sdk_root,
            size=size,
            epoch=epoch,
            label=loader.partition,
            identity=identity,
        )
