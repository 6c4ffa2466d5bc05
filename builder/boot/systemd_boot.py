"""systemd-boot: the UEFI loader that starts UKIs and counts their tries."""

from __future__ import annotations

from pathlib import Path

from builder.arch import Architecture
from builder.boot.base import BootFiles, Firmware, Loader

# where systemd installs its EFI programs
EFI = "usr/lib/systemd/boot/efi"
ENTRIES = "EFI/Linux"
# A new entry's tries before the other slot is taken (systemd-boot, "Boot Counting").
TRIES = 3
CONF = "loader/loader.conf"
# Shown for no time at all; a key held while it starts still brings the menu.
LOADER_CONF = "timeout 0\nconsole-mode keep\n"
# A machine whose firmware has no keys takes those of loader/keys/auto and restarts; on a physical one
# there are 15 seconds to say no. One that has keys already is left alone (systemd-boot(7)).
ENROLL = "secure-boot-enroll force\n"
KEYS = "loader/keys/auto"


class SystemdBoot(Loader):
    """systemd-boot, also under the name by which firmware finds a loader that nobody installed."""

    name = "systemd-boot"
    firmware = Firmware.UEFI
    partition = "ESP"

    def program(self, architecture: Architecture) -> str:
        return f"{EFI}/{architecture.loader}"

    def stub(self, architecture: Architecture) -> str:
        return f"{EFI}/{architecture.stub}"

    def new_entry(self, uki: str) -> str:
        return f"{uki.removesuffix('.efi')}+{TRIES}.efi"

    def files(self, given: BootFiles, work: Path) -> dict[str, Path]:
        conf = work / "loader.conf"
        conf.write_text(LOADER_CONF + (ENROLL if given.keys else ""))
        conf.chmod(0o644)
        return {
            f"EFI/BOOT/{given.architecture.removable}": given.loader,
            f"EFI/systemd/{given.architecture.loader}": given.loader,
            CONF: conf,
            f"{ENTRIES}/{given.uki_name}": given.uki,
            **{f"{KEYS}/{name}": _public_copy(path, work / name) for name, path in given.keys.items()},
        }


def _public_copy(source: Path, target: Path) -> Path:
    """A directory of keys is closed to the id that tools run as; these files are for everyone."""
    target.write_bytes(source.read_bytes())
    target.chmod(0o644)
    return target


LOADER = SystemdBoot()
