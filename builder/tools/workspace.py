"""Work directories in which the SDK's tools run.

A tool sees its inputs read-only below `/run/in`, writes below `/run/out`, and finds nothing
else of the machine. What it wrote moves to the wanted place in one rename, so that a killed
build leaves no half of a file under its final name.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.errors import Code, ColvertError
from builder.sandbox.run import Bind, Result, Sandbox, hand_over, run, sandbox_id


@dataclass(frozen=True)
class Bench:
    """A work place for tools of the SDK: named inputs, and one directory to write to."""

    sdk_root: Path
    work: Path
    inputs: Mapping[str, Path]

    def source(self, name: str) -> str:
        """Where a tool sees the input `name`."""
        return f"/run/in/{name}"

    def target(self, name: str) -> str:
        """Where a tool writes the output `name`."""
        return f"/run/out/{name}"

    def run(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        binds: tuple[Bind, ...] = (),
    ) -> Result:
        """Run one tool of the SDK; a failure is a `ColvertError`."""
        seen = tuple(Bind(path.resolve(), self.source(name)) for name, path in sorted(self.inputs.items()))
        out = Bind(self.work.resolve(), "/run/out", writable=True)
        box = Sandbox(root=self.sdk_root, binds=(*seen, out, *binds))
        return run(argv, sandbox=box, env=env, stdin=stdin)

    def blank(self, name: str, size: int) -> Path:
        """An output that is a hole of `size` bytes, for a tool to write into."""
        path = self.work / name
        with path.open("wb") as stream:
            stream.truncate(size)
        os.chmod(path, 0o644)
        owner = sandbox_id()
        if owner is not None:
            os.chown(path, owner, owner)
        return path

    def measure(self, name: str, what: str, limit: int | None, hint: str) -> int:
        """The size of the output `name`, which must not exceed `limit`."""
        size = (self.work / name).stat().st_size
        if limit is not None and size > limit:
            raise ColvertError(
                Code.TOO_LARGE,
                f"{what} has {size / 2**20:.1f} MiB, and the limit is {limit / 2**20:.0f} MiB",
                hint=hint,
            )
        return size

    def take(self, name: str, out: Path) -> Path:
        """Move the output `name` to its final place, as a plain file of the caller's."""
        made = self.work / name
        if os.geteuid() == 0:
            os.chown(made, 0, 0)
        os.chmod(made, 0o644)
        os.replace(made, out)
        return out


@contextmanager
def bench(out: Path, sdk_root: Path, inputs: Mapping[str, Path]) -> Iterator[Bench]:
    """A temporary workspace next to `out` (the rename must stay on one file system)."""
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    os.chmod(work, 0o755)
    hand_over(work)
    try:
        yield Bench(sdk_root, work, dict(inputs))
    finally:
        shutil.rmtree(work, ignore_errors=True)
