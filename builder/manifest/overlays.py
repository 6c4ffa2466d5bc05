"""Overlays in git as directories, fetched at their commit.

The caller gives a cache directory. In it, repositories are kept bare, and an overlay is a
read-only directory named by the id of its git tree: what has that name is that content.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pygit2
from pygit2.enums import FileMode, Option

from builder.errors import Code, ColvertError, Location
from builder.manifest.model import GitOverlay
from builder.manifest.transfer import Transfer, TransferError, transfer
from builder.texts import public, public_text


def fetch_overlay(overlay: GitOverlay, cache: Path, where: Location) -> Path:
    """The read-only directory of an overlay in git, fetched unless the cache holds it."""
    # read only, and nothing of the repository is executed: its owner does not matter
    pygit2.option(Option.SET_OWNER_VALIDATION, 0)
    mirror = cache / "git" / hashlib.sha256(public(overlay.git).encode()).hexdigest()[:24]
    try:
        with _locked(mirror):
            repository = pygit2.init_repository(str(mirror), bare=True)
            commit = _commit(repository, overlay, where)
            tree = _tree(commit, overlay, where)
            target = cache / "overlays" / str(tree.id)
            if not target.is_dir():
                _export(tree, target, where)
    except pygit2.GitError as error:
        raise ColvertError(
            Code.STORE_CORRUPT, f"{mirror}: {error}", where=where, hint=f"rm -r {mirror}"
        ) from error
    return target


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time works on a repository of the cache."""
    path.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _commit(repository: pygit2.Repository, overlay: GitOverlay, where: Location) -> pygit2.Commit:
    """The pinned commit, fetched if it is not there yet."""
    if overlay.commit not in repository:
        _fetch(repository, overlay, where)
    found = repository.get(overlay.commit)
    if not isinstance(found, pygit2.Commit):
        what = f"{public(overlay.git)} has no commit {overlay.commit}"
        hint = "use the id of a commit on a branch or tag (git ls-remote, git log)"
        raise ColvertError(Code.OVERLAY_MISSING, what, where=where, hint=hint)
    return found


def _fetch(repository: pygit2.Repository, overlay: GitOverlay, where: Location) -> None:
    """Just the commit where the server gives single commits, else all branches and tags."""
    one = Transfer(repository.path, overlay.git, (overlay.commit,), depth=1)
    everything = replace(one, refspecs=("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"), depth=0)
    for wanted in (one, everything):
        try:
            transfer(wanted)
        except TransferError as error:
            if wanted is one and not error.stalled:
                continue
            raise ColvertError(
                Code.FETCH_FAILED,
                f"the overlay {public(overlay.git)} cannot be fetched: {public_text(str(error))}",
                where=where,
                hint="check the URL, the network and the proxy (https_proxy, no_proxy)",
            ) from error
        finally:
            # libgit2 notes the address there, password and all
            Path(repository.path, "FETCH_HEAD").unlink(missing_ok=True)
        # another process wrote what came
        repository.free()
        if overlay.commit in repository:
            return


def _tree(commit: pygit2.Commit, overlay: GitOverlay, where: Location) -> pygit2.Tree:
    if overlay.path is None:
        return commit.tree
    try:
        found = commit.tree[overlay.path]
    except KeyError:
        found = None
    if not isinstance(found, pygit2.Tree):
        what = f"{public(overlay.git)} has no directory {overlay.path} at {overlay.commit[:12]}"
        raise ColvertError(Code.OVERLAY_MISSING, what, where=where)
    return found


def _export(tree: pygit2.Tree, target: Path, where: Location) -> None:
    """Write a tree out: whole, read-only, under its final name only when it is done."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=".part-", dir=target.parent))
    try:
        _write(tree, part / "tree", PurePosixPath(), where)
        os.rename(part / "tree", target)
        target.chmod(0o555)
    finally:
        for directory in [
            part,
            *(path for path in part.rglob("*") if path.is_dir() and not path.is_symlink()),
        ]:
            directory.chmod(0o755)
        shutil.rmtree(part)


def _write(tree: pygit2.Tree, target: Path, inside: PurePosixPath, where: Location) -> None:
    target.mkdir()
    for entry in tree:
        name = entry.name or ""
        if not name or "/" in name or name.lower() in (".", "..", ".git"):
            raise ColvertError(
                Code.OVERLAY_MISSING, f"unsafe file name {inside / name} in the overlay", where=where
            )
        if isinstance(entry, pygit2.Tree):
            _write(entry, target / name, inside / name, where)
        elif isinstance(entry, pygit2.Blob):
            _write_blob(entry, target / name, inside / name, where)
        else:
            raise ColvertError(
                Code.OVERLAY_MISSING,
                f"{inside / name} is a git submodule, which overlays cannot contain",
                where=where,
            )
    # the top one must still move to its final name, which needs write permission on it
    target.chmod(0o555 if inside.parts else 0o755)


def _write_blob(blob: pygit2.Blob, target: Path, inside: PurePosixPath, where: Location) -> None:
    if blob.filemode == FileMode.LINK:
        link = blob.data.decode("utf-8", "surrogateescape")
        depth = os.path.normpath(f"{inside.parent}/{link}")
        if link.startswith("/") or depth.split("/")[0] == "..":
            raise ColvertError(
                Code.OVERLAY_MISSING, f"the symbolic link {inside} points outside the overlay", where=where
            )
        target.symlink_to(link)
        return
    target.write_bytes(blob.data)
    target.chmod(0o555 if blob.filemode == FileMode.BLOB_EXECUTABLE else 0o444)
