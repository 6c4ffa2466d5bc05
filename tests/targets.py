"""Targets: the folders of a release by platform."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Targets:
    """What `build-image --target all` leaves: a folder for each platform."""

    root: Path

    def file(self, platform: str, suffix: str) -> Path:
        """An output by the end of its name."""
        [path] = (self.root / platform).glob(f"*-{platform}{suffix}")
        return path
