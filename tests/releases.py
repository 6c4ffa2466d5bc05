"""Releases: variants of the default OS that differ by what a test is about, each made in seconds.

The packages come from the store; a variant is a manifest that includes the default one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from builder.build.image import Image, make_image
from builder.build.session import Request, Session, open_session
from builder.build.usr import USR, VERITY
from builder.pipeline.events import Events
from builder.platforms import Platform
from builder.updates.contents import uki_name
from builder.updates.delta import Earlier
from tests.conftest import ROOT

# One clock for all runs: the same image has the same bytes tomorrow, so that a verdict on it holds.
EPOCH = 1_764_000_000
# Ten years from there machines take the index; the manifest's own default would soon be over.
EXPIRES_AFTER = 3650


@dataclass(frozen=True)
class Made:
    """A variant that was built: its session, and the artifacts that were asked for."""

    session: Session
    image: Image

    def path(self, job: str, name: str = "") -> Path:
        """The artifact of a job, or a file in it, compared with its digest; read-only."""
        return self.session.store.path(self.image[job].artifact) / name

    @property
    def parts(self) -> dict[str, Path]:
        """What an update writes: the usr image with its hash tree, and the UKI."""
        loaded = self.session.loaded
        uki = uki_name(loaded.manifest.id, loaded.version)
        return {
            "usr": self.path("usr", USR),
            "verity": self.path("usr", VERITY),
            "uki": self.path("boot", uki),
        }


@dataclass(frozen=True)
class Variant:
    """One release: its version, files to add (text, or text and mode) and anything else of a manifest.

    `epoch` is the clock of the build; an update index counts its expiry from there. Without
    `expires_after` that is the manifest's default.
    """

    version: str
    files: Mapping[str, str | tuple[str, int]] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    epoch: int = EPOCH
    expires_after: int | None = EXPIRES_AFTER

    def write(self, place: Path) -> Path:
        """Write the variant's manifest into `place`."""
        files = []
        for path, content in self.files.items():
            text, mode = (content, 0o644) if isinstance(content, str) else content
            files.append({"path": path, "content": text, "mode": f"{mode:04o}"})
        base = str(ROOT / "manifests/colvert.yaml")
        expiry = {} if self.expires_after is None else {"expires_after": self.expires_after}
        whole = {
            "include": [base],
            "version": self.version,
            "epoch": self.epoch,
            "files": files,
            **self.manifest,
            "update": {**expiry, **self.manifest.get("update", {})},
        }
        out = place / f"{self.version}.yaml"
        out.write_text(yaml.safe_dump(whole))
        return out

    def open(self, place: Path, *, state: Path = Path(".colvert"), events: Events | None = None) -> Session:
        """The variant's session; its manifest is written into `place`."""
        return open_session(Request(self.write(place), state=state), events or Events())

    def make(
        self,
        place: Path,
        *wanted: str,
        platforms: Sequence[Platform] = (),
        earlier: Sequence[Earlier] = (),
    ) -> Made:
        """The variant with the jobs called `wanted` done, packages included."""
        return make(self.open(place), *wanted, platforms=platforms, earlier=earlier)


def make(
    session: Session, *wanted: str, platforms: Sequence[Platform] = (), earlier: Sequence[Earlier] = ()
) -> Made:
    """The jobs called `wanted` of a session's image."""
    return Made(session, make_image(session, wanted, platforms, earlier))
