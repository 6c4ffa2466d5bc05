"""Ebuild repositories (overlays) of the manifest, and their copies in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.packages.portage.config import Configuration, Repository
from builder.packages.repository import read_layout, read_repository_name
from builder.pipeline.artifact import Artifact
from builder.pipeline.ingest import ingest_tree
from builder.pipeline.store import Store


@dataclass(frozen=True)
class Overlay:
    """An ebuild repository: its name, where the user has it, and the overlays whose eclasses it inherits."""

    name: str
    path: Path
    masters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """Portage settings from the manifest; later overlays win."""

    overlays: tuple[Overlay, ...]
    profile: str
    use: Mapping[str, Sequence[str]]

    @property
    def configuration(self) -> Configuration:
        """The settings without places of this machine."""
        repositories = tuple(Repository(item.name, item.masters) for item in self.overlays)
        return Configuration(repositories, self.profile, {k: tuple(v) for k, v in self.use.items()})

    def ingest(self, store: Store) -> dict[str, Artifact]:
        """The overlays' copies in the store, by name."""
        return {item.name: ingest_tree(store, f"overlay:{item.name}", item.path) for item in self.overlays}


def read_overlay(path: Path) -> Overlay:
    """An overlay as its profiles/repo_name and metadata/layout.conf describe it (portage(5)).

    Raises OVERLAY_MISSING where it has no name, and so is none.
    """
    return Overlay(read_repository_name(path), path, read_layout(path).masters)
