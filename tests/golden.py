"""Golden files: results that are kept in git, so that every change of one shows in review."""

from __future__ import annotations

import os
from pathlib import Path


def check_golden(path: Path, made: str) -> None:
    """Compare with the file; with COLVERT_ACCEPT set, the new result becomes the right one."""
    if os.environ.get("COLVERT_ACCEPT"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made)
    assert made == path.read_text(), "if it is meant: COLVERT_ACCEPT=1 (docs/howto/run-the-tests.md)"
