"""FAT32 file systems."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from builder.tools.workspace import Bench, bench


def make_fat(
    files: Mapping[str, Path],
    out: Path,
    *,
    sdk_root: Path,
    size: int,
    epoch: int,
    label: str,
    identity: str,
) -> Path:
    """Write a FAT32 file system with the files given, made in the order of their names."""
    inputs = {f"{number}": files[name] for number, name in enumerate(sorted(files))}
    volume = hashlib.sha256(f"fat {label} {identity}".encode()).hexdigest()[:8]
    env = {"SOURCE_DATE_EPOCH": str(epoch), "MTOOLS_SKIP_CHECK": "1"}
    with bench(out, sdk_root, inputs) as table:
        image = table.target("image")
        table.run(
            "mkfs.vfat",
            "--invariant",
            "-F32",
            "-i",
            volume,
            "-n",
            label,
            "-C",
            image,
            str(size >> 10),
            env=env,
        )
        _folders(table, image, files, env)
        for number, name in enumerate(sorted(files)):
            table.run("mcopy", "-i", image, table.source(str(number)), f"::/{name}", env=env)
        return table.take("image", out)


def _folders(table: Bench, image: str, files: Mapping[str, Path], env: Mapping[str, str]) -> None:
    folders = {parent for name in files for parent in PurePosixPath(name).parents if parent.name}
    for folder in sorted(folders):
        table.run("mmd", "-i", image, f"::/{folder}", env=env)
