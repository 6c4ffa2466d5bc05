"""diffoscope, run in a Debian root of its own that is made when it is first needed."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from builder.errors import Code
from builder.pipeline.key import digest_value
from builder.sandbox.debian import SUITE, keep_root, make_root
from builder.sandbox.home import Home
from builder.sandbox.run import Bind, Sandbox, run

# with what it needs to look into the formats that we make
PACKAGES = ("diffoscope-minimal", "binutils", "cpio", "xxd", "zstd", "xz-utils")
SECONDS = 180.0
LIMIT = 256 << 20
SHOWN = 32 << 10


def ensure_root(home: Home) -> Path:
    """The root with diffoscope, made now if need be (about a minute)."""
    place = home.cache / "diffoscope"

    def make(work: Path) -> Path:
        return make_root(work / "root", PACKAGES, log=place / "debian.log")

    return keep_root(place, digest_value([SUITE, *PACKAGES])[:16], make)


def explain(home: Home, old: Path, new: Path) -> str:
    """The output of diffoscope for two files; empty if they are too large for it."""
    if max(old.stat().st_size, new.stat().st_size) > LIMIT:
        return ""
    root = ensure_root(home)
    with tempfile.TemporaryDirectory(dir=home.cache) as scratch:
        place = Path(scratch)
        place.chmod(0o755)
        for name, source in (("first", old), ("second", new)):
            # stored files may be closed to the id that reads them here
            (place / name).mkdir()
            os.chmod(shutil.copyfile(source, place / name / source.name), 0o644)
        box = Sandbox(root, (Bind(place, "/run/compare"),))
        files = [f"/run/compare/{name}/{old.name}" for name in ("first", "second")]
        options = ["--no-progress", f"--max-text-report-size={SHOWN}", "--text=-", "--timeout=120"]
        done = run(
            ["diffoscope", *options, *files],
            sandbox=box,
            check=False,
            timeout=SECONDS,
            code=Code.COMMAND_FAILED,
        )
    return done.stdout[:SHOWN]
