"""Firmware variables with a project's Secure Boot keys enrolled.

virt-fw-vars writes them into the variables that the SDK's OVMF starts with, so that no boot is spent on
enrolling. It runs in a Debian root of its own, made when it is first needed: the SDK is part of every
package's key, and this tool reaches none of them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from builder.arch import DEFAULT, Architecture
from builder.errors import Code, ColvertError
from builder.pipeline.key import digest_value
from builder.sandbox.debian import SUITE, keep_root, make_root
from builder.sandbox.run import Bind, Sandbox, hand_over, run

# UEFI Specification 2.10, 32.6.1: the vendor GUID of each variable that decides what may start
GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
SECURITY_DATABASE = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
VENDORS = {"PK": GLOBAL, "KEK": GLOBAL, "db": SECURITY_DATABASE, "dbx": SECURITY_DATABASE}
# non-volatile, boot service access, runtime access, authenticated by time
ATTRIBUTES = 0x27
# EFI_TIME of 1 January 2020: any will do, but later changes have to be later
WHEN = bytes([0xE4, 0x07, 1, 1]).ljust(16, b"\0")
FULL = "varstore is too small"
EMPTY = "empty.fd"
PACKAGES = ("python3-virt-firmware",)


def ensure_root(roots: Path) -> Path:
    """The root with virt-fw-vars below `roots`, made now if need be (about half a minute)."""
    place = roots / "firmware"

    def make(work: Path) -> Path:
        return make_root(work / "root", PACKAGES, log=place / "debian.log")

    return keep_root(place, digest_value([SUITE, *PACKAGES])[:16], make)


def enroll(
    sdk: Path, roots: Path, contents: Mapping[str, bytes], out: Path, architecture: Architecture = DEFAULT
) -> Path:
    """Write the variables to `out`: PK, KEK, db and dbx (signature lists), with Secure Boot enabled.

    `roots` is where Debian roots are kept.
    """
    tools = ensure_root(roots)
    variables = [
        {
            "name": name,
            "guid": VENDORS[name],
            "attr": ATTRIBUTES,
            "data": content.hex(),
            "time": WHEN.hex(),
        }
        for name, content in contents.items()
        if content
    ]
    with TemporaryDirectory(prefix="colvert-firmware-") as place:
        work = hand_over(Path(place))
        (work / "keys.json").write_text(json.dumps({"version": 2, "variables": variables}))
        (work / "keys.json").chmod(0o644)
        shutil.copyfile(sdk / architecture.board.variables.lstrip("/"), work / EMPTY)
        _write(Sandbox(tools, (Bind(work, "/run/work", writable=True),)))
        shutil.copyfile(work / "vars.fd", out)
    return out


def _write(box: Sandbox) -> None:
    argv = ["virt-fw-vars", "--input", EMPTY, "--set-json", "keys.json"]
    argv += ["--set-true", "SecureBootEnable", "--output", "vars.fd"]
    try:
        run(argv, sandbox=box, cwd="/run/work")
    except ColvertError as error:
        if not any(FULL in line for line in error.detail):
            raise
        raise ColvertError(
            Code.TOO_LARGE,
            "the keys exceed the size of the firmware's variable store",
            hint="revoke fewer programs in dbx",
        ) from error
