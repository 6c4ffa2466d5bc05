"""The SDK: the pinned Debian root in which everything is compiled and assembled.

Made once from `recipe/`, read-only afterwards, replaced by making another beside it. Its
identity (every Debian package's version and the recipe itself) is part of every key.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.errors import Code, ColvertError
from builder.pipeline import index
from builder.pipeline.directories import discard
from builder.pipeline.events import Event, Events, Kind
from builder.pipeline.key import digest_file, digest_value
from builder.pipeline.lock import held
from builder.sandbox.debian import OPTIONS, SUITE, UNPACK, make_root, package_names
from builder.sandbox.home import Home
from builder.sandbox.pypi import download
from builder.sandbox.run import Bind, Sandbox, run

RECIPE = Path(__file__).parent / "recipe"
# the program that makes a Debian root an SDK
SETUP = ("/bin/bash", "/inputs/setup.sh")


@dataclass(frozen=True)
class Sdk:
    """A finished SDK."""

    root: Path
    id: str

    def sandbox(self, *binds: Bind, tmpfs: Sequence[str] = (), network: bool = False) -> Sandbox:
        """The sandbox of a tool: this SDK read-only, and what is bound for it."""
        return Sandbox(self.root, tuple(binds), tuple(tmpfs), network=network)

    def packages(self) -> dict[str, str]:
        """Every Debian package in it, with its version."""
        lines = (self.root / "etc/sdk-packages").read_text().splitlines()
        return {name: number for name, _, number in (line.partition(" ") for line in lines)}

    @property
    def mirror(self) -> str:
        """The Debian mirror that this SDK came from, out of its apt configuration."""
        for line in (self.root / "etc/apt/sources.list").read_text().splitlines():
            words = [word for word in line.split() if not word.startswith("[")]
            if len(words) > 2 and words[0] == "deb" and words[2] == SUITE:
                return words[1].rstrip("/")
        raise ColvertError(
            Code.SDK_FAILED,
            "the SDK's apt configuration has no mirror",
            hint="remove its directory and run the command again",
        )


def recipe_digest() -> str:
    """Digest of everything of ours that decides what the SDK is."""
    files = index.digest(index.as_git_sees(index.survey(RECIPE)))
    options = [*OPTIONS, *UNPACK, *SETUP]
    return digest_value({"suite": SUITE, "options": options, "recipe": files})


def find_sdk(home: Home) -> Sdk | None:
    """The SDK of the present recipe, if it has been made."""
    path = home.sdk / recipe_digest()[:16]
    try:
        record = json.loads((path / "sdk.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return Sdk(path / "root", record["id"])


def ensure_sdk(home: Home, events: Events) -> Sdk:
    """The SDK of the present recipe, made now if need be (about two minutes, 1 GB)."""
    found = find_sdk(home)
    if found is not None:
        return found
    with held(home.sdk / "lock"):
        return find_sdk(home) or _make(home, events)


def _make(home: Home, events: Events) -> Sdk:
    def tell(phase: str) -> None:
        events.emit(Event(kind=Kind.PHASE, stage="sdk", label=SUITE, phase=phase))

    began = time.monotonic()
    events.emit(Event(kind=Kind.STARTED, stage="sdk", label=SUITE))
    work = home.sdk / f"tmp-{uuid.uuid4().hex}"
    root, inputs = work / "root", work / "inputs"
    inputs.mkdir(parents=True)
    try:
        tell("portage")
        _portage_sdist(inputs)
        for name in ("setup.sh", "provided.txt"):
            (inputs / name).write_bytes((RECIPE / name).read_bytes())
        tell("debian")
        make_root(root, package_names(RECIPE / "packages.txt"), log=home.sdk / "debian.log")
        tell("set up")
        box = Sandbox(root, (Bind(inputs, "/inputs"),), writable_root=True)
        run(SETUP, sandbox=box, log=home.sdk / "setup.log", code=Code.SDK_FAILED)
        packages = digest_file(root / "etc/sdk-packages")
        identity = digest_value({"recipe": recipe_digest(), "packages": packages})
        (work / "sdk.json").write_text(json.dumps({"id": identity, "suite": SUITE}))
        final = home.sdk / recipe_digest()[:16]
        discard(final)
        work.rename(final)
    finally:
        discard(work)
    seconds = round(time.monotonic() - began, 3)
    events.emit(Event(kind=Kind.FINISHED, stage="sdk", label=SUITE, seconds=seconds))
    return Sdk(final / "root", identity)


def _portage_sdist(inputs: Path) -> None:
    """Portage's sdist from the Python package index, checked against the recipe's hash."""
    download(RECIPE / "portage.lock", inputs, "--no-binary", "portage")
    (sdist,) = inputs.glob("portage-*.tar.gz")
    sdist.rename(inputs / "portage.tar.gz")
