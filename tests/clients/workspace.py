"""Workspace of platform clients: their root, a home directory, and the files of `build-image`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.sandbox.run import Bind, Result, Sandbox, run
from tests.clients.root import Clients

HOME = "/tmp/home"
TARGETS = "/tmp/targets"
SECONDS = 300.0
# in a user namespace below the sandbox's: libvirt's daemon and Vagrant do not want to be root
AS_USER = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")


@dataclass(frozen=True)
class Desk:
    """A place for scripts, without network but for a loopback that is theirs alone.

    Whatever a script leaves running ends with it.
    """

    clients: Clients
    targets: Path
    home: Path

    def run(
        self,
        script: str,
        *words: str | Path,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float = SECONDS,
    ) -> Result:
        """Run a bash script with arguments; it starts in its home and gets what it prints back."""
        binds = (
            Bind(self.home, HOME, writable=True),
            Bind(self.targets, TARGETS),
            # libvirt asks for processors and memory there
            Bind(Path("/sys"), "/sys"),
        )
        inner = {"HOME": HOME, "XDG_RUNTIME_DIR": "/run/user", **(env or {})}
        prelude = "set -euo pipefail; exec 2>&1; mkdir -m 700 /run/user\n"
        argv = [*AS_USER, "bash", "-c", prelude + script, "bash", *words]
        box = Sandbox(self.clients.root, binds)
        return run(argv, sandbox=box, env=inner, cwd=HOME, check=check, timeout=timeout)

    def inside(self, file: Path) -> str:
        """The name that a script knows an output by."""
        return f"{TARGETS}/{file.relative_to(self.targets)}"

    def write(self, name: str, text: str) -> str:
        """Put a file into the home; returns the name that a script knows it by."""
        (self.home / name).parent.mkdir(parents=True, exist_ok=True)
        (self.home / name).write_text(text)
        return f"{HOME}/{name}"
