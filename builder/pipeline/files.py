"""Once: files that a checkout makes at first use and never again, such as its keys."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_once(path: Path, content: bytes) -> None:
    """Write a file for its owner alone, whole or not at all; of two that come at once the first one stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        os.link(name, path)
    except FileExistsError:
        pass  # somebody was faster; theirs is as good
    finally:
        os.unlink(name)


def hidden_from_git(directory: Path) -> Path:
    """Make a checkout's state directory, which is no part of the work tree; returns it."""
    directory.mkdir(parents=True, exist_ok=True)
    ignore = directory / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
    return directory
