"""A machine made of nothing but files, on which colvert-update is called."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STATE = "var/lib/colvert/update"
# the client of a machine is root's: an ordinary user is it in a user namespace
AS_ROOT = [] if os.geteuid() == 0 else [shutil.which("unshare") or "unshare", "--user", "--map-root-user"]
# Starts the words given and says last how many KiB they had resident at most. What pytest has counts
# for whatever it starts itself, so this stands between.
MEASURE = """
import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print(usage.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass
class Answer:
    """What one call came to."""

    status: int
    report: dict[str, Any]
    kib: int
    errors: str

    @property
    def code(self) -> str:
        code: str = self.report["code"]
        return code


@dataclass
class Machine:
    """A machine made of nothing but files."""

    root: Path
    into: Path
    program: list[str]

    def put(self, path: str, data: str | bytes) -> None:
        there = self.root / path
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(data.encode() if isinstance(data, str) else data)

    def call(self, *words: str) -> Answer:
        command = [*AS_ROOT, *self.program, "--json", "--root", str(self.root), *words]
        done = subprocess.run(
            [sys.executable, "-S", "-E", "-c", MEASURE, *command],
            capture_output=True,
            env={},
            text=True,
            check=False,
        )
        report = json.loads(done.stdout)
        assert report["ok"] == (done.returncode == 0), report
        assert report["message"].isprintable()
        errors, _, kib = done.stderr.rstrip().rpartition("\n")
        return Answer(done.returncode, report, int(kib), errors)

    def check(self, url: str, *words: str) -> Answer:
        return self.call("check", "--from", url, *words)

    def download(self, url: str, *words: str) -> Answer:
        return self.call("download", "--from", url, "--into", str(self.into), *words)

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.root / STATE / "state.json").read_text())
        return state

    def downloaded(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.into.iterdir()}
