"""Portage's configuration, and the bind mounts that plans and package builds share."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.pipeline.stage import Toolchain
from builder.sandbox.run import Bind

HERE = Path(__file__).parent
DATA = ("make.conf", "bashrc")
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
class Repository:
    """An ebuild repository as Portage is told of it: later ones have a higher priority."""

    name: str
    masters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Configuration:
    """What of a build reaches Portage; USE by atom."""

    repositories: tuple[Repository, ...]
    profile: str
    use: Mapping[str, Sequence[str]]

    @property
    def main(self) -> Repository:
        return self.repositories[0]


def write_config(configuration: Configuration, target: Path, scripts: Sequence[Path]) -> None:
    """Write the two configuration roots: `target`/portage for the sysroot, `target`/sdk
    for the SDK; beside them our scripts, since the sandbox may not reach the checkout."""
    (target / "scripts").mkdir(parents=True)
    for script in scripts:
        shutil.copyfile(script, target / "scripts" / script.name)
    for name, profile in (("portage", configuration.profile), ("sdk", "sdk")):
        root = target / name
        root.mkdir(parents=True)
        for part in DATA:
            shutil.copyfile(HERE / part, root / part)
        (root / "repos.conf").write_text(_repositories(configuration))
        (root / "make.profile").symlink_to(f"/build/repos/{configuration.main.name}/profiles/{profile}")
    lines = [f"{atom} {' '.join(flags)}\n" for atom, flags in sorted(configuration.use.items())]
    (target / "portage/package.use").write_text("".join(lines))


def _repositories(configuration: Configuration) -> str:
    text = f"[DEFAULT]\nmain-repo = {configuration.main.name}\n"
    for number, one in enumerate(configuration.repositories):
        text += f"\n[{one.name}]\nlocation = /build/repos/{one.name}\nauto-sync = no\n"
        # given also where there are none: Portage would take the first repository
        text += f"priority = {number}\nmasters = {' '.join(one.masters)}\n"
    return text


def binds(sdk: Toolchain, config: Path, repositories: Path) -> tuple[Bind, ...]:
    """The binds that plan and build have in common."""
    return (
        Bind(sdk.root / "var/db/pkg", "/var/db/pkg"),
        Bind(config / "portage", "/build/cfg/etc/portage"),
        Bind(config / "sdk", "/etc/portage"),
        Bind(repositories, "/build/repos"),
        Bind(config / "scripts", "/build/scripts"),
    )
