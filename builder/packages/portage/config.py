"""Portage's configuration and the binds that every plan and every build share."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from builder.pipeline.key import digest_file, digest_value
from builder.sandbox.run import Bind
from builder.sandbox.sdk import Sdk

HERE = Path(__file__).parent
SYSROOT = "/build/sysroot"

# Every package is built at this moment of its own: the time reaches outputs, and were it the
# commit's, each commit would compile everything again. 2025-01-01T00:00:00Z.
PACKAGE_EPOCH = 1735689600

ENVIRONMENT: Mapping[str, str] = {
    "SOURCE_DATE_EPOCH": str(PACKAGE_EPOCH),
    "PYTHONHASHSEED": "0",
    # for Portage itself; bashrc says what the phases get
    "MAKEOPTS": "-j1",
    "PORTAGE_USERNAME": "root",
    "PORTAGE_GRPNAME": "root",
    "PORTAGE_CONFIGROOT": "/build/cfg",
    "ROOT": SYSROOT,
    "SYSROOT": SYSROOT,
}

# Portage writes locks and caches here; each sandbox has its own, empty.
TMPFS = ("/var/cache", "/var/lib/portage", "/var/log", "/var/tmp", "/var/db", "/build")


@dataclass(frozen=True)
class Overlay:
    """An ebuild repository: its name, where it lies, and the overlays whose eclasses it inherits."""

    name: str
    path: Path
    masters: tuple[str, ...] = ()


def read_overlay(path: Path) -> Overlay:
    """An overlay as its profiles/repo_name and metadata/layout.conf describe it (portage(5)).

    Raises FileNotFoundError where it has no name, and so is none.
    """
    layout = path / "metadata" / "layout.conf"
    rows = [line.partition("=") for line in layout.read_text().splitlines()] if layout.is_file() else []
    said = {name.strip(): value.split() for name, sign, value in rows if sign}
    return Overlay(
        (path / "profiles" / "repo_name").read_text().strip(), path, tuple(said.get("masters", ()))
    )


@dataclass(frozen=True)
class Settings:
    """What of the manifest reaches Portage."""

    overlays: tuple[Overlay, ...]
    profile: str
    use: Mapping[str, Sequence[str]]

    @property
    def main(self) -> Overlay:
        return self.overlays[0]


@cache
def recipe() -> str:
    """Digest of what we do to every package: part of each one's key."""
    parts = {name: digest_file(HERE / name) for name in ("make.conf", "build.sh")}
    return digest_value({**parts, "environment": dict(ENVIRONMENT)})


def write_config(settings: Settings, target: Path) -> None:
    """Write the two configuration roots: `target`/portage for the sysroot, `target`/sdk
    for the SDK; beside them our scripts, since the sandbox may not reach the checkout."""
    scripts = target / "scripts"
    scripts.mkdir(parents=True)
    for name in ("resolve.py", "build.sh"):
        shutil.copyfile(HERE / name, scripts / name)
    for name, profile in (("portage", settings.profile), ("sdk", "sdk")):
        root = target / name
        root.mkdir(parents=True)
        for part in ("make.conf", "bashrc"):
            shutil.copyfile(HERE / part, root / part)
        (root / "repos.conf").write_text(_repositories(settings))
        (root / "make.profile").symlink_to(f"/build/repos/{settings.main.name}/profiles/{profile}")
    lines = [f"{atom} {' '.join(flags)}\n" for atom, flags in sorted(settings.use.items())]
    (target / "portage/package.use").write_text("".join(lines))


def _repositories(settings: Settings) -> str:
    text = f"[DEFAULT]\nmain-repo = {settings.main.name}\n"
    for number, overlay in enumerate(settings.overlays):
        text += f"\n[{overlay.name}]\nlocation = /build/repos/{overlay.name}\nauto-sync = no\n"
        # said also where there are none: Portage would take the first overlay
        text += f"priority = {number}\nmasters = {' '.join(overlay.masters)}\n"
    return text


def binds(sdk: Sdk, config: Path, repositories: Path) -> tuple[Bind, ...]:
    """The binds that plan and build have in common."""
    return (
        Bind(sdk.root / "var/db/pkg", "/var/db/pkg"),
        Bind(config / "portage", "/build/cfg/etc/portage"),
        Bind(config / "sdk", "/etc/portage"),
        Bind(repositories, "/build/repos"),
        Bind(config / "scripts", "/build/scripts"),
    )
