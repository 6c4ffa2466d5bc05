"""Files of the Python package index that go into a root: named by a lock, verified by its hashes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from builder.errors import Code, ColvertError
from builder.sandbox.proxies import environment
from builder.sandbox.run import run
from builder.texts import public_error


def download(lock: Path, into: Path, *options: str) -> None:
    """Fetch what a lock names, and nothing that it does not name."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    pip += ["--no-deps", *options, "--require-hashes", "-r", str(lock)]
    passed = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
    try:
        run([*pip, "--dest", into], env={**passed, **environment()}, code=Code.SDK_FAILED)
    except ColvertError as error:
        # the command line that it shows has the environment: proxies, indexes
        raise public_error(error) from error
