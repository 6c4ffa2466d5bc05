"""Debian roots: directories with the Debian packages of a list, made by mmdebstrap.

Nothing is installed on the host. The SDK is such a root, and so are those in which diffoscope
and the tests' own programs run.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from builder.errors import Code, ColvertError
from builder.pipeline.directories import discard
from builder.pipeline.lock import held
from builder.sandbox.proxies import environment
from builder.sandbox.run import hand_over, require, run, sandbox_id
from builder.texts import public_error

SUITE = "trixie"
# what decides, beside the list of packages, which packages a root has and how it is unpacked; part of the
# SDK's identity
OPTIONS = ("--variant=minbase", '--aptopt=Apt::Install-Recommends "false"')
UNPACK = ("--no-same-owner", "--exclude=./dev/*")


def package_names(file: Path) -> list[str]:
    """The Debian packages that a list asks for: one or more a line, comments after a `#` in front."""
    lines = file.read_text().splitlines()
    return [word for line in lines if not line.startswith("#") for word in line.split()]


def make_root(root: Path, packages: Sequence[str], *, log: Path) -> Path:
    """Make Debian's root in `root`, by mmdebstrap as a tar, unpacked so that the sandbox's id owns it all."""
    archive = root.with_suffix(".tar")
    options = [*OPTIONS, "--format=tar", f"--include={','.join(packages)}"]
    mode = "--mode=root" if os.geteuid() == 0 else "--mode=unshare"
    tool = require("mmdebstrap", "mmdebstrap")
    mirror = os.environ.get("COLVERT_MIRROR")
    try:
        run(
            [tool, mode, *options, SUITE, archive, *([mirror] if mirror else [])],
            env=environment(),
            log=log,
            code=Code.SDK_FAILED,
        )
    except ColvertError as error:
        raise public_error(error) from error
    unpack_root(archive, root)
    archive.unlink()
    return root


def keep_root(place: Path, name: str, make: Callable[[Path], Path]) -> Path:
    """The root `name` of `place`; if it does not exist yet, the directory that `make` returns."""
    final = place / name
    with held(place / "lock"):
        if not final.exists():
            work = place / f"tmp-{uuid.uuid4().hex}"
            work.mkdir()
            try:
                make(work).rename(final)
            finally:
                discard(work)
    return final


def unpack_root(archive: Path, root: Path) -> None:
    """Unpack a root's tar so that the sandbox's id owns it all."""
    hand_over(root)
    tar: list[str | Path] = ["tar", "-C", root, "-xf", archive, *UNPACK]
    uid = sandbox_id()
    if uid is not None:
        tar = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *tar]
    run(tar, code=Code.SDK_FAILED)
