"""Stage `digests`: the SHA-256 of every delivered file, for the provenance."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

from builder.pipeline.artifact import Artifact
from builder.pipeline.key import digest_file, walk
from builder.pipeline.stage import Stage, Work

FILE = "sha256.json"


@dataclass(frozen=True)
class Digests(Stage):
    """out/sha256.json: relative path -> SHA-256."""

    name: ClassVar[str] = "digests"

    delivered: Artifact

    @property
    def label(self) -> str:
        return self.delivered.kind

    def run(self, work: Work) -> None:
        root = work.path(self.delivered)
        found = {
            name: digest_file(root / name) for name, item in walk(root) if item.is_file(follow_symlinks=False)
        }
        (work.out / FILE).write_text(json.dumps(found, indent=1))
