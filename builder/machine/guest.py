"""Commands and files of a running guest, over ssh with the checkout's key."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from builder.errors import Code, ColvertError
from builder.machine.credentials import KeyPair
from builder.sandbox.run import Bind, Result, Sandbox, run

KEY_PATH = "/run/ssh/key"
STATE_DIR = "/run/ssh/state"
SSH_FAILED = 255  # ssh's own exit status when it could not get in
COMMAND_SECONDS = 120.0
CONNECT_SECONDS = 30  # a key exchange takes seconds under TCG


@dataclass(frozen=True)
class Guest:
    """Root's account in one guest; `state` holds its known_hosts, so a changed host key is refused."""

    sdk: Path
    state: Path
    port: int
    key: KeyPair | None

    def sandbox(self) -> Sandbox:
        """Sandbox of ssh, with the user id of the caller, who alone may read the key."""
        binds = [Bind(self.state, STATE_DIR, writable=True)]
        if self.key is not None:
            binds.append(Bind(self.key.private, KEY_PATH))
        return Sandbox(self.sdk, tuple(binds), tmpfs=("/root",), network=True, own_identity=True)

    def argv(self, *command: str, terminal: bool = False) -> list[str]:
        """The ssh command line; without a key only what needs none is tried."""
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": str(CONNECT_SECONDS),
            "IdentitiesOnly": "yes",
            "LogLevel": "ERROR",
            "ServerAliveInterval": "30",
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": f"{STATE_DIR}/known_hosts",
            "HostKeyAlias": "colvert",
        }
        words = ["ssh", "-F", "none", "-p", str(self.port)]
        words += ["-i", KEY_PATH] if self.key is not None else []
        for name, value in options.items():
            words += ["-o", f"{name}={value}"]
        return [*words, "-t" if terminal else "-T", "root@127.0.0.1", *(["--", *command] if command else [])]

    def attempt(
        self, command: str, *, stdin: bytes | None = None, timeout: float = COMMAND_SECONDS
    ) -> Result:
        """Run a shell command in the guest, whatever its exit status."""
        argv = self.argv(command)
        return run(argv, sandbox=self.sandbox(), stdin=stdin, timeout=timeout, check=False)

    def run(self, command: str, *, stdin: bytes | None = None, timeout: float = COMMAND_SECONDS) -> str:
        """Run a shell command in the guest and return its output; raises where it fails."""
        # the guest's error output comes along, since it says why
        result = self.attempt(f"{{ {command}\n}} 2>&1", stdin=stdin, timeout=timeout)
        if result.returncode:
            what = (
                "ssh could not connect" if result.returncode == SSH_FAILED else f"status {result.returncode}"
            )
            lines = result.stdout.splitlines()[-20:]
            raise ColvertError(Code.COMMAND_FAILED, f"in the guest: {command}: {what}", detail=lines)
        return result.stdout

    def read(self, path: str) -> bytes:
        """A file of the guest."""
        return base64.b64decode(self.run(f"base64 -w0 '{path}'"))

    def write(self, path: str, content: bytes) -> None:
        """Put a file into the guest."""
        self.run(f"cat > '{path}'", stdin=content)

    def copy_out(self, path: str, target: Path) -> None:
        target.write_bytes(self.read(path))

    def copy_in(self, source: Path, path: str) -> None:
        self.write(path, source.read_bytes())

    def greets(self, timeout: float = 5.0) -> bool:
        """Whether an ssh server answers; QEMU itself accepts the connection long before."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as channel:
                channel.settimeout(timeout)
                return channel.recv(4) == b"SSH-"
        except OSError:
            return False

    def wait(self, timeout: float, alive: Callable[[], bool] = lambda: True) -> None:
        """Wait until the guest lets us in."""
        end = time.monotonic() + timeout
        last = "no ssh server answered"
        while alive() and time.monotonic() < end:
            if self.greets():
                result = self.attempt("true")
                if result.returncode == 0:
                    return
                last = "the ssh server refused the key"
            time.sleep(1.0)
        why = f"within {timeout:.0f} s" if alive() else "before the machine ended"
        raise ColvertError(Code.BOOT_FAILED, f"no ssh login to the guest {why}: {last}")
