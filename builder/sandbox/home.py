"""Home: where Colvert keeps what outlives a build, and the machine-wide compile slots."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from builder.errors import Code, ColvertError
from builder.pipeline.stage import Local
from builder.sandbox.run import sandbox_id


@dataclass(frozen=True)
class Home:
    """The directories of one user's (or root's) Colvert."""

    root: Path

    @property
    def sdk(self) -> Path:
        return self.root / "sdk"

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def distfiles(self) -> Path:
        return self.root / "distfiles"

    @property
    def slots(self) -> Path:
        return self.root / "compile-slots"

    @property
    def cache(self) -> Path:
        """Things that only save time and may be deleted at any moment."""
        return self.root / "cache"

    def local(self, cancelled: Callable[[], bool] = lambda: False) -> Local:
        """The places that a running stage may use."""
        return Local(
            logs=self.root / "logs",
            failed=self.root / "failed",
            distfiles=self.distfiles,
            slots=self.slots,
            metadata=self.cache / "portage-metadata",
            cancelled=cancelled,
        )


def open_home(path: Path | None = None) -> Home:
    """Find or make the home: `path`, else COLVERT_HOME, else the usual cache directory.

    Root's is /var/cache/colvert, because sandboxed programs, which own nothing of the host,
    must be able to pass through every directory above it.
    """
    # the sandbox's id must be able to read what is made here, whatever the caller's umask is
    os.umask(0o022)
    root = path or _default()
    root = root.absolute()
    home = Home(root)
    for directory in (home.sdk, home.store, home.distfiles, home.cache):
        directory.mkdir(parents=True, exist_ok=True)
    _reachable(root)
    set_slots(home, os.cpu_count() or 1)
    return home


def set_slots(home: Home, count: int) -> None:
    """Make the lock files of which each compiler process holds one."""
    home.slots.mkdir(exist_ok=True)
    wanted = {f"{number:03}" for number in range(count)}
    for name in wanted:
        (home.slots / name).touch()
    for path in home.slots.iterdir():
        if path.name not in wanted:
            path.unlink(missing_ok=True)


def _default() -> Path:
    named = os.environ.get("COLVERT_HOME")
    if named:
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/cache/colvert")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "colvert"


def _reachable(root: Path) -> None:
    if sandbox_id() is None:
        return
    for directory in (root, *root.parents):
        if not directory.stat().st_mode & 0o001:
            raise ColvertError(
                Code.USAGE,
                f"sandboxed programs cannot pass through {directory}",
                hint=f"chmod o+x {directory}, or name another place with COLVERT_HOME",
            )
