"""Programs run in a closed environment, under bubblewrap where a sandbox is given.

Every program that Colvert starts goes through `run`: with a closed environment, no
terminal input, and a failure that prints as a command line which can be pasted and run
again. With a `Sandbox` the program runs under bubblewrap in a user namespace of its own:
it is root there, owns nothing outside, sees a read-only root (the SDK) and what is bound
for it, and has no network unless asked for.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from builder.errors import Code, ColvertError

# When root starts a build, sandboxed programs still run as an id that owns nothing of the
# host: the first of the range that systemd reserves for container users
# (systemd UIDS-GIDS, "Summary": 524288 is the start of the container range).
UNPRIVILEGED_ID = 524288

PATH_IN_SANDBOX = "/usr/local/bin:/usr/bin:/usr/sbin"
TAIL_LINES = 30
RESOLV_CONF = Path("/etc/resolv.conf")


@dataclass(frozen=True)
class Bind:
    """A host path made visible in the sandbox; read-only unless `writable`."""

    source: Path
    target: str
    writable: bool = False
    device: bool = False


@dataclass(frozen=True)
class Sandbox:
    """What a sandboxed program sees: a root directory, binds over it, tmpfs mounts."""

    root: Path
    binds: tuple[Bind, ...] = ()
    tmpfs: tuple[str, ...] = ()
    writable_root: bool = False
    network: bool = False
    # keep the caller's own identity (QEMU may need /dev/kvm or /dev/net); never for builds
    own_identity: bool = False
    # stay in the caller's terminal session, for programs that talk to a person
    terminal: bool = False

    def argv(self, cwd: str | None, env: Mapping[str, str]) -> list[str]:
        """bubblewrap's command line up to the program's own."""
        args = ["bwrap", "--unshare-all", "--die-with-parent"]
        args += [] if self.terminal else ["--new-session"]
        args += ["--uid", "0", "--gid", "0", "--cap-add", "ALL", "--hostname", "colvert"]
        args += ["--share-net"] if self.network else []
        args += ["--bind" if self.writable_root else "--ro-bind", str(self.root), "/"]
        args += ["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/run"]
        if self.network and RESOLV_CONF.exists():
            args += ["--ro-bind", str(RESOLV_CONF.resolve()), str(RESOLV_CONF)]
        for target in self.tmpfs:
            args += ["--tmpfs", target]
        for bind in self.binds:
            option = "--dev-bind" if bind.device else "--bind" if bind.writable else "--ro-bind"
            args += [option, str(bind.source), bind.target]
        args += ["--clearenv"]
        for name, value in sorted(env.items()):
            args += ["--setenv", name, value]
        args += ["--chdir", cwd or "/"]
        return args


@dataclass(frozen=True)
class Result:
    """What a finished program left: its exit status and, where captured, its output."""

    returncode: int
    stdout: str = ""


BASE_ENV: Mapping[str, str] = {
    "PATH": PATH_IN_SANDBOX,
    "HOME": "/tmp",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "TERM": "dumb",
}


def sandbox_id() -> int | None:
    """The id sandboxed programs run as, or None where the caller's own will do."""
    return UNPRIVILEGED_ID if os.geteuid() == 0 else None


def hand_over(path: Path) -> Path:
    """Make a directory that sandboxed programs may write to; returns it."""
    path.mkdir(parents=True, exist_ok=True)
    uid = sandbox_id()
    if uid is not None:
        os.chown(path, uid, uid)
    return path


def require(tool: str, package: str) -> str:
    """The full path of a host program, or an error naming the package that has it."""
    found = shutil.which(tool)
    if found is None:
        raise ColvertError(
            Code.HOST_TOOL, f"the program {tool} is missing", hint=f"apt-get install {package}"
        )
    return found


@dataclass(frozen=True)
class Command:
    """A program ready to start: the full command line, environment and identity."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str | None = None
    uid: int | None = field(default=None)

    def pasteable(self) -> str:
        """The command as one shell line that runs the same thing again."""
        env = [f"{name}={value}" for name, value in sorted(self.env.items())]
        words = ["env", "-i", *env, *self.argv]
        if self.uid is not None:
            words = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups", *words]
        line = shlex.join(words)
        return f"cd {shlex.quote(self.cwd)} && {line}" if self.cwd else line


def command(
    argv: Sequence[str | Path],
    *,
    sandbox: Sandbox | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
) -> Command:
    """Prepare a program without starting it (`colvert shell` prints or enters it)."""
    words = [str(word) for word in argv]
    inner = {**BASE_ENV, **(env or {})}
    if sandbox is None:
        host = {**inner, "PATH": os.environ.get("PATH", os.defpath), "HOME": os.environ.get("HOME", "/")}
        return Command(tuple(words), host, str(cwd) if cwd else None)
    bwrap = require("bwrap", "bubblewrap")
    prefix = sandbox.argv(str(cwd) if cwd else None, inner)
    uid = None if sandbox.own_identity else sandbox_id()
    return Command((bwrap, *prefix[1:], *words), {"PATH": os.environ.get("PATH", os.defpath)}, None, uid)


def run(
    argv: Sequence[str | Path],
    *,
    sandbox: Sandbox | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    log: Path | None = None,
    stdin: bytes | None = None,
    check: bool = True,
    timeout: float | None = None,
    code: Code = Code.COMMAND_FAILED,
) -> Result:
    """Run a program to its end.

    Output goes to the file `log` (stdout and stderr together) or, without one, stdout is
    captured and returned. Raises `ColvertError` (`code`) with the output's end and the
    pasteable command when the program fails and `check` is set, or when `timeout` (in
    seconds) runs out.
    """
    prepared = command(argv, sandbox=sandbox, env=env, cwd=cwd)
    with start(prepared, log=log, stdin=stdin is not None) as process:
        try:
            out, err = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            stop(process)
            raise _failure(
                prepared, argv, f"did not end within {timeout:.0f} s", _tail(log, b""), code
            ) from None
    if process.returncode and check:
        raise _failure(
            prepared,
            argv,
            f"failed ({_status(process.returncode)})",
            _tail(log, (err or b"") or (out or b"")),
            code,
        )
    return Result(process.returncode, (out or b"").decode("utf-8", "replace"))


def run_terminal(
    argv: Sequence[str | Path],
    *,
    sandbox: Sandbox,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
) -> int:
    """Run a program on the caller's own terminal; returns its exit status."""
    inner = {"TERM": os.environ.get("TERM", "dumb"), **(env or {})}
    prepared = command(argv, sandbox=replace(sandbox, terminal=True), env=inner, cwd=cwd)
    uid = prepared.uid
    groups: list[int] | None = [] if uid is not None else None
    return subprocess.call(prepared.argv, env=dict(prepared.env), user=uid, group=uid, extra_groups=groups)


@contextmanager
def start(
    prepared: Command, *, log: Path | None = None, stdin: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program in a process group of its own; whatever happens, none of it stays behind."""
    sink: IO[bytes] | int = log.open("ab") if log is not None else subprocess.PIPE
    try:
        process = subprocess.Popen(
            prepared.argv,
            env=dict(prepared.env),
            cwd=prepared.cwd,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT if log is not None else subprocess.PIPE,
            start_new_session=True,
            user=prepared.uid,
            group=prepared.uid,
            extra_groups=[] if prepared.uid is not None else None,
            umask=0o022,
        )
    except FileNotFoundError as error:
        raise ColvertError(Code.HOST_TOOL, f"the program {prepared.argv[0]} is missing") from error
    finally:
        if not isinstance(sink, int):
            sink.close()
    try:
        yield process
    finally:
        if process.poll() is None:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Kill a started program with everything in its process group, and reap it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _status(returncode: int) -> str:
    return f"signal {signal.Signals(-returncode).name}" if returncode < 0 else f"status {returncode}"


def _tail(log: Path | None, output: bytes) -> list[str]:
    if log is not None and log.exists():
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 16384))
            output = stream.read()
    return output.decode("utf-8", "replace").splitlines()[-TAIL_LINES:]


def _failure(
    prepared: Command, argv: Sequence[str | Path], what: str, tail: list[str], code: Code
) -> ColvertError:
    return ColvertError(code, f"{argv[0]} {what}", detail=tail, hint=prepared.pasteable())
