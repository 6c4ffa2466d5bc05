"""Requirements of a building machine, checked one by one, each with its remedy."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import urllib3

from builder.errors import Code, ColvertError
from builder.sandbox.debian import SUITE
from builder.sandbox.home import open_home
from builder.sandbox.proxies import Client
from builder.sandbox.run import require, sandbox_id
from builder.sandbox.sdk import find_sdk

SPACE = 12 << 30


@dataclass(frozen=True)
class Finding:
    """One thing that was checked."""

    subject: str
    ok: bool
    text: str
    remedy: str = ""


def examine(home: Path | None) -> list[Finding]:
    """Check everything; never raises for what it finds."""
    checks: list[Callable[[], Finding]] = [_python, _namespaces, lambda: _space(home), lambda: _mirror(home)]
    tools = [("git", "git"), ("bwrap", "bubblewrap"), ("mmdebstrap", "mmdebstrap")]
    if os.geteuid() != 0:
        tools += [("newuidmap", "uidmap")]
        checks.append(_subids)
    return [*(_tool(name, package) for name, package in tools), *(check() for check in checks)]


def _tool(name: str, package: str) -> Finding:
    found = shutil.which(name)
    return Finding(name, bool(found), found or "not found", "" if found else f"apt-get install {package}")


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    return Finding("python", good, version, "" if good else "install Python 3.11 or newer")


def _namespaces() -> Finding:
    """Try what every build step does, and say which knob stands in the way."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return Finding(
            "user namespaces", False, "not checked: bwrap is missing", "apt-get install bubblewrap"
        )
    argv = [
        bwrap,
        "--unshare-all",
        "--uid",
        "0",
        "--gid",
        "0",
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
        "true",
    ]
    uid = sandbox_id()
    tried = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        check=False,
        user=uid,
        group=uid,
        extra_groups=None if uid is None else [],
        cwd="/",
    )
    if tried.returncode == 0:
        return Finding("user namespaces", True, "work")
    return Finding("user namespaces", False, tried.stderr.strip() or "do not work", _namespace_remedy())


def require_namespaces() -> None:
    """Raise NO_USERNS, with the remedy, where no sandbox can be made; costs some milliseconds."""
    require("bwrap", "bubblewrap")
    finding = _namespaces()
    if not finding.ok:
        raise ColvertError(
            Code.NO_USERNS,
            f"the sandbox does not start: {finding.text}",
            hint=finding.remedy or "colvert doctor",
        )


def _namespace_remedy() -> str:
    knobs = [
        ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "add an AppArmor profile that allows userns to bwrap, or"
            " sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ]
    for name, bad, remedy in knobs:
        path = Path("/proc/sys") / name
        if path.exists() and path.read_text().strip() == bad:
            return remedy
    return "in a container, allow user namespaces and mount(2) (seccomp, /proc unmasked)"


def _subids() -> Finding:
    """mmdebstrap maps a range of ids when an ordinary user makes the SDK."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    for path in (Path("/etc/subuid"), Path("/etc/subgid")):
        rows = path.read_text().splitlines() if path.exists() else []
        if not any(row.split(":")[0] in (name, str(os.getuid())) for row in rows):
            remedy = f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}"
            return Finding("subordinate ids", False, f"{path} has no range for {name}", remedy)
    return Finding("subordinate ids", True, f"{name} has a range")


def _space(home: Path | None) -> Finding:
    try:
        root = open_home(home).root
    except (ColvertError, OSError) as error:
        return Finding("home", False, str(error), "choose another directory with --home or COLVERT_HOME")
    free = shutil.disk_usage(root).free
    remedy = (
        ""
        if free >= SPACE
        else "run colvert store prune --size 5G, or choose another directory with COLVERT_HOME"
    )
    return Finding(
        "disk space",
        free >= SPACE,
        f"{free >> 30} GiB free in {root}; a full build requires {SPACE >> 30} GiB",
        remedy,
    )


def _mirror(home: Path | None) -> Finding:
    """Whether Debian's mirror answers; which one is apt's business."""
    try:
        sdk = find_sdk(open_home(home))
    except (ColvertError, OSError):
        sdk = None
    if sdk is None:
        return Finding("Debian mirror", True, "not checked: the SDK is not installed yet")
    remedy = "check the network, apt's configuration and the proxy (http_proxy, no_proxy)"
    try:
        answer = Client(urllib3.Retry(1)).request("HEAD", f"{sdk.mirror}/dists/{SUITE}/InRelease", timeout=10)
        good, text = answer.status == 200, f"answers {answer.status}"
    except urllib3.exceptions.HTTPError as error:
        good, text = False, type(error).__name__
    except ColvertError as error:
        good, text, remedy = False, error.what, error.hint
    return Finding("Debian mirror", good, text, "" if good else remedy)
