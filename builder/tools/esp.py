"""The EFI system partition, a FAT32 file system with boot loader and UKI."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from builder.arch import Architecture
from builder.errors import Code, ColvertError
from builder.tools.workspace import Bench, bench

# Shown for no time at all; a key held while it starts still brings the menu.
LOADER_CONF = "timeout 0\nconsole-mode keep\n"
# A machine whose firmware has no keys takes those of loader/keys/auto and restarts; on a physical one
# there are 15 seconds to say no. One that has keys already is left alone (systemd-boot(7)).
ENROLL = "secure-boot-enroll force\n"
KEYS = "loader/keys/auto"


@dataclass(frozen=True)
class BootFiles:
    """What the ESP holds: the loader, and the UKI under the name that carries its boot counter."""

    architecture: Architecture
    loader: Path
    uki: Path
    uki_name: str
    loader_conf: str = LOADER_CONF
    # PK.auth and so on, to be enrolled
    keys: Mapping[str, Path] = field(default_factory=dict)

    def files(self, work: Path) -> dict[str, Path]:
        """Path on the ESP -> file that goes there."""
        conf = work / "loader.conf"
        conf.write_text(self.loader_conf + (ENROLL if self.keys else ""))
        conf.chmod(0o644)
        return {
            f"EFI/BOOT/{self.architecture.removable}": self.loader,
            f"EFI/systemd/{self.architecture.loader}": self.loader,
            "loader/loader.conf": conf,
            f"EFI/Linux/{self.uki_name}": self.uki,
            **{f"{KEYS}/{name}": _public_copy(path, work / name) for name, path in self.keys.items()},
        }


def _public_copy(source: Path, target: Path) -> Path:
    """A directory of keys is closed to who runs the tools; these files are for everyone."""
    target.write_bytes(source.read_bytes())
    target.chmod(0o644)
    return target


def make_esp(boot: BootFiles, out: Path, *, sdk_root: Path, size: int, epoch: int, identity: str) -> Path:
    """Write an ESP of `size` bytes; its volume id follows from `identity`."""
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.conf.") as work:
        files = boot.files(Path(work))
        needed = sum(path.stat().st_size for path in files.values())
        if needed + (4 << 20) > size:
            raise ColvertError(
                Code.TOO_LARGE,
                f"loader and UKI have {needed / 2**20:.1f} MiB, the ESP {size / 2**20:.0f} MiB",
                hint="build a smaller kernel or initrd",
            )
        Path(work).chmod(0o755)
        return make_fat(files, out, sdk_root=sdk_root, size=size, epoch=epoch, label="ESP", identity=identity)


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
