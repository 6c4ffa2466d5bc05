"""EFI system partition: a FAT32 file system with a loader's files."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from builder.boot.base import BootFiles, Loader
from builder.errors import Code, ColvertError
from builder.quantities import MIB
from builder.tools.esp import make_fat

# for the file system itself, and the loader's small files
SPARE = 4 * MIB


def make_esp(
    loader: Loader, given: BootFiles, out: Path, *, sdk_root: Path, size: int, epoch: int, identity: str
) -> Path:
    """Write an ESP of `size` bytes; its volume id follows from `identity`."""
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.conf.") as work:
        files = loader.files(given, Path(work))
        # an update is written beside the UKI that runs
        needed = sum(path.stat().st_size for path in files.values()) + given.uki.stat().st_size + SPARE
        if needed > size:
            least = -(-needed // MIB)
            raise ColvertError(
                Code.TOO_LARGE,
                f"loader and two UKIs need an ESP of {least} MiB, not {size / MIB:.0f} MiB",
                hint=f"set `disk: esp_size: {least} MiB`, or build a smaller kernel or initrd",
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
