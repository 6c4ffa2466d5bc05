"""The id that git gives a directory, so that it can be compared with a commit of the repository.

What `git write-tree` says of the directory with everything in it added: `git rev-parse
COMMIT:overlays/colvert` names the same tree where nothing differs from the commit.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path


def git_tree(directory: Path) -> str:
    """The id of the tree; as git does, it leaves out empty directories and .git."""
    return (_tree(str(directory)) or _hash(b"tree", b"")).hex()


def _hash(kind: bytes, content: bytes) -> bytes:
    return hashlib.sha1(b"%s %d\0" % (kind, len(content)) + content, usedforsecurity=False).digest()


def _tree(directory: str) -> bytes | None:
    rows: list[tuple[bytes, bytes]] = []
    with os.scandir(directory) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            found = _entry(entry) if name != b".git" else None
            if found is not None:
                mode, identity = found
                # git sorts a directory as if its name ended in a slash
                key = name + b"/" if mode == b"40000" else name
                rows.append((key, mode + b" " + name + b"\0" + identity))
    return _hash(b"tree", b"".join(row for _, row in sorted(rows))) if rows else None


def _entry(entry: os.DirEntry[str]) -> tuple[bytes, bytes] | None:
    """Mode and id of one member; none of an empty directory, a pipe or a socket."""
    if entry.is_symlink():
        return b"120000", _hash(b"blob", os.fsencode(os.readlink(entry.path)))
    if entry.is_dir(follow_symlinks=False):
        identity = _tree(entry.path)
        return (b"40000", identity) if identity is not None else None
    if not entry.is_file(follow_symlinks=False):
        return None
    executable = entry.stat(follow_symlinks=False).st_mode & stat.S_IXUSR
    return b"100755" if executable else b"100644", _hash(b"blob", Path(entry.path).read_bytes())
