"""Version, commit and code digest of the Colvert that made a release."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import pygit2

import builder
from builder.pipeline.code import PROJECT
from builder.pipeline.key import digest_file, walk


@cache
def toolchain() -> dict[str, str]:
    """The Colvert that runs, as provenance names it.

    `code` is the SHA-256 of the names and digests of its files; `commit` is there where it runs from a git
    checkout, and ends in `-dirty` where that differs from the commit.
    """
    found = {"colvert": builder.__version__, "code": _code(PROJECT / "builder")}
    commit = _commit(PROJECT)
    return {**found, "commit": commit} if commit else found


def _code(root: Path) -> str:
    lines = hashlib.sha256()
    for name, entry in walk(root):
        if entry.is_file() and "__pycache__" not in name and not name.endswith("~"):
            lines.update(f"{digest_file(Path(entry.path))} {name}\n".encode())
    return lines.hexdigest()


def _commit(root: Path) -> str:
    """The commit of the checkout that Colvert itself is, not of one that holds a copy of it."""
    if not (root / ".git").exists():
        return ""
    try:
        repository = pygit2.Repository(str(root))
        commit = str(repository.head.target)
        changed = repository.status(untracked_files="normal", ignored=False)
    except (pygit2.GitError, KeyError):
        return ""
    own = [name for name in changed if name.startswith("builder/")]
    return f"{commit}-dirty" if own else commit
