"""The root in which the platforms' own clients run: Vagrant, libvirt, aws, COT, and what they need.

Made once from `recipe/`, below the home's cache, read-only afterwards. Nothing is installed on
the host, and nothing of it is an input of a build.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from builder.errors import Code
from builder.pipeline.key import digest_tree
from builder.sandbox.debian import keep_root, make_root, package_names
from builder.sandbox.home import Home
from builder.sandbox.pypi import download
from builder.sandbox.run import Bind, Sandbox, run

DATA = ("recipe",)
RECIPE = Path(__file__).parent / "recipe"


@dataclass(frozen=True)
class Clients:
    """A finished root of clients."""

    root: Path

    @property
    def insecure_key(self) -> Path:
        """The private half of the key that every Vagrant knows."""
        [path] = self.root.glob("usr/lib/*/rubygems-integration/*/gems/vagrant-*/keys/vagrant.key.ed25519")
        return path


def ensure_clients(home: Home) -> Clients:
    """The clients' root of the present recipe, made now if need be (about a minute, 1 GB)."""
    return Clients(keep_root(home.cache / "clients", digest_tree(RECIPE)[:16], _make))


def _make(work: Path) -> Path:
    inputs, place = work / "inputs", work.parent
    inputs.mkdir()
    download(RECIPE / "cot.lock", inputs)
    (inputs / "setup.sh").write_bytes((RECIPE / "setup.sh").read_bytes())
    root = make_root(work / "root", package_names(RECIPE / "packages.txt"), log=place / "debian.log")
    box = Sandbox(root, (Bind(inputs, "/inputs"),), writable_root=True)
    run(["/bin/bash", "/inputs/setup.sh"], sandbox=box, log=place / "setup.log", code=Code.SDK_FAILED)
    return root
