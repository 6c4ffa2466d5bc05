"""Releases: variants of the default OS that differ by what a test is about, each made in seconds.

The packages come from the store; a variant is a manifest that includes the default one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from builder.build.image import Image
from builder.build.session import Request, open_session
from builder.pipeline.events import Events
from tests.conftest import ROOT


@dataclass(frozen=True)
class Variant:
    """One release: its version, files to add (text, or text and mode) and anything else of a manifest.

    `epoch` is the clock of the build; an update index counts its expiry from there.
    """

    version: str
    files: Mapping[str, str | tuple[str, int]] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    epoch: int = field(default_factory=lambda: int(time.time()) // 86400 * 86400)

    def write(self, place: Path) -> Path:
        """Write the variant's manifest into `place`."""
        files = []
        for path, content in self.files.items():
            text, mode = (content, 0o644) if isinstance(content, str) else content
            files.append({"path": path, "content": text, "mode": f"{mode:04o}"})
        base = str(ROOT / "manifests/colvert.yaml")
        whole = {
            "include": [base],
            "version": self.version,
            "epoch": self.epoch,
            "files": files,
            **self.manifest,
        }
        out = place / f"{self.version}.yaml"
        out.write_text(yaml.safe_dump(whole))
        return out

    def image(self, place: Path) -> Image:
        """Everything that a build of the variant makes, each part when it is asked for."""
        session = open_session(Request(self.write(place)), Events())
        return Image(session, session.build_packages())
