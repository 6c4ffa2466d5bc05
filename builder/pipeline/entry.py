"""Values of the store: the record of a stage that ran, and an artifact together with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from builder.pipeline.artifact import Artifact, Part

DATA = "data"


class Record(BaseModel):
    """A stage that ran: what its key was made of, and what came out."""

    model_config = ConfigDict(frozen=True)

    key: str
    stage: str
    label: str
    inputs: dict[str, str]
    digest: str
    # digest of each name at the top of the artifact
    parts: dict[str, str]
    # artifacts that the stage read, by digest
    uses: tuple[str, ...] = ()
    size: int
    seconds: float
    created: float


@dataclass(frozen=True)
class Entry:
    """One artifact in the store, and the record of the stage that made it."""

    path: Path
    record: Record

    @property
    def out(self) -> Path:
        """The artifact's files; read-only, and not compared with the digest (`Store.path` does)."""
        return self.path / DATA

    @property
    def digest(self) -> str:
        """Digest of the artifact: what consumers are keyed by."""
        return self.record.digest

    @property
    def artifact(self) -> Artifact:
        return Artifact(self.record.stage, self.record.digest)

    def part(self, name: str) -> Part:
        """A file or directory at the top of the artifact."""
        return Part(self.artifact, name, self.record.parts[name])

    def parts(self) -> dict[str, Part]:
        """All of them, by name."""
        return {name: self.part(name) for name in self.record.parts}
