"""Home directory (COLVERT_HOME) of SDK, store and sources, and the machine-wide compile slots."""

from __future__ import annotations

import errno
import os
import pwd
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    with _usable(root):
        for directory in (home.sdk, home.store, home.distfiles, home.cache):
            directory.mkdir(parents=True, exist_ok=True)
        _reachable(root)
    set_slots(home, os.cpu_count() or 1)
    return home


def set_slots(home: Home, count: int) -> None:
    """Make the lock files of which each compiler process holds one."""
    wanted = {f"{number:03}" for number in range(count)}
    with _usable(home.root):
        home.slots.mkdir(exist_ok=True)
        for name in wanted:
            (home.slots / name).touch()
        for path in home.slots.iterdir():
            if path.name not in wanted:
                path.unlink(missing_ok=True)


@contextmanager
def _usable(root: Path) -> Iterator[None]:
    """An error of the operating system in the home, told with the way out of it."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        reason = f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
        raise ColvertError(
            Code.USAGE,
            f"Colvert's home {root} cannot be used ({reason})",
            hint="choose a writable directory with --home or COLVERT_HOME",
        ) from error


def _default() -> Path:
    named = os.environ.get("COLVERT_HOME")
    if named:
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/cache/colvert")
    cache = os.environ.get("XDG_CACHE_HOME", "")
    # a relative one does not count (XDG Base Directory Specification)
    return (Path(cache) if os.path.isabs(cache) else _user_home() / ".cache") / "colvert"


def _user_home() -> Path:
    """The caller's home directory: HOME, else what the user database has."""
    try:
        found = Path(os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        found = Path()
    if not found.is_absolute():
        raise ColvertError(
            Code.USAGE,
            f"the user {os.getuid()} has no home directory",
            hint="choose a directory with --home or COLVERT_HOME",
        )
    return found


def _reachable(root: Path) -> None:
    if sandbox_id() is None:
        return
    for directory in (root, *root.parents):
        if not directory.stat().st_mode & 0o001:
            raise ColvertError(
                Code.USAGE,
                f"sandboxed programs cannot enter {directory}",
                hint=f"run chmod o+x {directory}, or choose another directory with COLVERT_HOME",
            )
