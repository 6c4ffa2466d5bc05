"""The machine that signs: a Debian root with the signer's few dependencies, a token and a key service.

Nothing of the builder's own environment is in it: that `colvert sign` runs there says that it
needs no more. Made once, below the home's cache, read-only afterwards.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.pipeline.key import digest_tree
from builder.sandbox.debian import keep_root, make_root, package_names
from builder.sandbox.home import Home
from builder.sandbox.pypi import download
from builder.sandbox.run import Bind, Result, Sandbox, run

DATA = ("recipe",)
RECIPE = Path(__file__).parent / "recipe"
CHECKOUT = Path(__file__).parents[2]
# rooms of the checkout that go along to the machine that signs
ROOMS = (
    "arch.py",
    "errors.py",
    "texts.py",
    "__init__.py",
    "cli",
    "manifest",
    "pipeline",
    "signing",
    "updates",
)
HOME = "/tmp/home"
# its Python, not the host's
_FOR_THE_ROOT = (
    "--only-binary", ":all:", "--python-version", "313", "--platform", "manylinux_2_28_x86_64",
    "--platform", "manylinux2014_x86_64",
)  # fmt: skip
MODULE = "/usr/lib/softhsm/libsofthsm2.so"
# what a lock of the recipe names is laid out in
SITES = {"pkcs11.lock": "site", "localstack.lock": "localstack"}


@dataclass(frozen=True)
class SignerMachine:
    """The root, and a home that is this test's own."""

    root: Path
    home: Path

    def run(
        self, script: str, *words: str, env: Mapping[str, str] | None = None, check: bool = True
    ) -> Result:
        """Run a bash script; it sees its home and the few rooms of the checkout, and no network."""
        binds = (Bind(self.home, HOME, writable=True), Bind(self._rooms(), "/opt/colvert/builder"))
        inner = {
            "HOME": HOME,
            "PYTHONPATH": "/opt/colvert:/opt/site",
            "PYTHONDONTWRITEBYTECODE": "1",
            "SOFTHSM2_CONF": f"{HOME}/softhsm2.conf",
            "COLVERT_PKCS11_MODULE": MODULE,
            **(env or {}),
        }
        prelude = 'set -euo pipefail; colvert-sign() { python3 -m builder.cli.sign "$@"; }\n'
        argv = ["bash", "-c", prelude + script, "bash", *words]
        # what is bound below /opt has to have places there
        box = Sandbox(self.root, binds, tmpfs=("/opt/colvert",))
        return run(argv, sandbox=box, env=inner, cwd=HOME, check=check, timeout=300.0)

    def _rooms(self) -> Path:
        """A copy that the machine's user reaches: the checkout may be below a closed directory."""
        rooms = self.home.with_name(f"{self.home.name}.builder")
        if not rooms.exists():
            rooms.mkdir()
            names = [str(CHECKOUT / "builder" / name) for name in ROOMS]
            run(["cp", "-r", *names, rooms])
            run(["chmod", "-R", "a+rX", rooms])
        return rooms


def ensure_signer(home: Home) -> Path:
    """The signer's root of the present recipe, made now if need be (about a minute, 500 MB)."""
    return keep_root(home.cache / "signer", digest_tree(RECIPE)[:16], _make)


def _make(work: Path) -> Path:
    root = work / "root"
    for lock in SITES:
        (work / lock).mkdir()
        download(RECIPE / lock, work / lock, *_FOR_THE_ROOT)
    make_root(root, package_names(RECIPE / "packages.txt"), log=work.parent / "debian.log")
    (root / "opt/colvert").mkdir()
    for lock, site in SITES.items():
        for wheel in (work / lock).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(root / "opt" / site)
    return root
