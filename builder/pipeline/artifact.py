"""Artifacts: directories of the store, named by digest and kind; parts are the names at their top."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Artifact:
    """What a stage made: `kind` is the stage's name, `digest` the SHA-256 of the index of its files."""

    kind: str
    digest: str


@dataclass(frozen=True)
class Part:
    """One file or directory at the top of an artifact.

    Its own digest is its identity; which artifact holds it decides nothing, and is in no key.
    """

    artifact: Artifact
    name: str
    digest: str
