"""Work trees that libgit2 cannot read (sparse, split index, reftable, SHA-256), asked of the git program.

Git may run programs that a repository's configuration names, so unlike libgit2 it is asked only of work
trees that are the caller's own (git's rule, safe.directory), and without the file system monitor.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

# seconds; git reads the index and looks at each file
TIMEOUT = 60
SETTINGS = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")


@dataclass(frozen=True)
class WorkTree:
    """What HEAD is: id of the commit, its time in seconds since 1970, its tags, and whether files differ."""

    commit: str
    epoch: int
    tags: tuple[str, ...]
    dirty: bool


def work_tree(directory: Path) -> WorkTree:
    """The work tree that holds `directory`. Raises OSError with git's own words where it cannot be read."""
    commit, epoch = _git(directory, "show", "--no-patch", "--format=%H %ct", "HEAD").split()
    return WorkTree(
        commit=commit,
        epoch=int(epoch),
        tags=tuple(_git(directory, "tag", "--points-at", "HEAD").split()),
        dirty=bool(_git(directory, "status", "--porcelain", "--untracked-files=normal")),
    )


def _git(directory: Path, *words: str) -> str:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        ["git", "-C", str(directory), "--no-optional-locks", *SETTINGS, *words],
        env={**kept, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
    )
    if done.returncode:
        raise OSError(done.stderr.decode("utf-8", "replace").strip().removeprefix("fatal: "))
    return done.stdout.decode("utf-8", "replace").strip()
