"""Version, commit and clock of a build, read from git.

A commit with a tag `vX.Y.Z` has the version X.Y.Z; any other has its time in UTC, date and
clock (`261122.235950`), so that machines know newer from older; and a work tree with changes
says so (`261122.dirty`): what was not committed must never look like a release. The length is
what a GPT label leaves, see `docs/decisions/version.md`.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pygit2
from pygit2.enums import FileStatus, Option

from builder.errors import Code, ColvertError, Location
from builder.manifest.git_program import WorkTree, work_tree

# A GPT label has 36 UTF-16 units; this is the longest one that carries the version.
LABEL_UNITS = 36
LONGEST_LABEL = "colvert-usr-verity-sig_"
MAX_VERSION = LABEL_UNITS - len(LONGEST_LABEL)

# `-`, `_` and `+` separate things in file names, labels and boot entries (`NAME_VERSION+3.efi`);
# `~` and `^` are refused by sysupdate.
_VERSION = re.compile(r"[0-9][0-9A-Za-z]*(\.[0-9A-Za-z]+)*")
_TAG = re.compile(r"v([0-9]+\.[0-9]+\.[0-9]+)")
TAGS = "refs/tags/"


@dataclass(frozen=True)
class Revision:
    """A state of a git work tree."""

    version: str
    commit: str
    epoch: int
    dirty: bool


def check(version: str) -> str:
    """The version, if labels, file names and sysupdate can carry it; ValueError says why not."""
    if not _VERSION.fullmatch(version):
        raise ValueError(
            "a version must start with a digit, and contain only digits, letters and single dots"
        )
    if len(version) > MAX_VERSION:
        raise ValueError(f"a version has at most {MAX_VERSION} characters (the space left in a GPT label)")
    return version


def revision(directory: Path) -> Revision | None:
    """The revision of the work tree that holds `directory`; None when git knows nothing of it."""
    # Only objects and the index are read and nothing of the repository is executed, so it does
    # not matter who owns it (a checkout mounted into a container has another owner).
    pygit2.option(Option.SET_OWNER_VALIDATION, 0)
    try:
        found = pygit2.discover_repository(str(directory))
        return None if found is None else _of_library(pygit2.Repository(found))
    except _Unread:
        reason = "its checkout is sparse"
    except (pygit2.GitError, OSError, KeyError) as error:
        reason = str(error)
    try:
        tree = work_tree(directory)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ColvertError(
            Code.MANIFEST_INVALID,
            f"the version cannot be read from git: {error}",
            where=Location(str(directory)),
            detail=[f"libgit2: {reason}"],
            hint="set a fixed `version:` and `epoch:` in the manifest",
        ) from error
    return _named(tree)


class _Unread(Exception):
    """What libgit2 takes for something else."""


def _of_library(repository: pygit2.Repository) -> Revision | None:
    """The revision as libgit2 reads it."""
    if repository.head_is_unborn:
        return None
    if "core.sparseCheckout" in repository.config and repository.config.get_bool("core.sparseCheckout"):
        raise _Unread  # it takes files that are left out for deleted ones
    commit = repository.head.peel(pygit2.Commit)
    dirty = not repository.is_bare and _dirty(repository)
    return _named(WorkTree(str(commit.id), commit.commit_time, tuple(_tags(repository, commit)), dirty))


def _named(tree: WorkTree) -> Revision:
    """A work tree with its version: the highest of its tags, else the time of its commit."""
    time = datetime.fromtimestamp(tree.epoch, UTC)
    versions = [match[1] for match in map(_TAG.fullmatch, tree.tags) if match]
    name = max(versions, key=lambda one: [int(part) for part in one.split(".")], default="")
    version = f"{time:%y%m%d}.dirty" if tree.dirty else name or f"{time:%y%m%d.%H%M%S}"
    return Revision(version, tree.commit, tree.epoch, tree.dirty)


def _dirty(repository: pygit2.Repository) -> bool:
    """Whether anything differs from the commit; new files count, since a build reads directories."""
    clean = (FileStatus.CURRENT, FileStatus.IGNORED)
    return any(status not in clean for status in repository.status(untracked_files="normal").values())


def _tags(repository: pygit2.Repository, commit: pygit2.Commit) -> Iterator[str]:
    """The names of the tags of this very commit."""
    for name in repository.references:
        if name.startswith(TAGS) and _target(repository, name) == commit.id:
            yield name.removeprefix(TAGS)


def _target(repository: pygit2.Repository, name: str) -> pygit2.Oid | None:
    """The commit that a tag points to (annotated tags point to a tag object first)."""
    try:
        return repository.references[name].peel(pygit2.Commit).id
    except pygit2.GitError:
        return None
