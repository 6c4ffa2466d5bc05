"""Small releases for unit tests: an index whose files are a few bytes each."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from builder.updates.delta import SIGNED
from builder.updates.dsse import sign
from builder.updates.index import PAYLOAD_TYPE, Index
from builder.updates.keys import Signer
from builder.updates.parts import PART_NAMES


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def fields(version: str = "1.0.0", names: Sequence[str] = PART_NAMES, **changed: Any) -> dict[str, Any]:
    """An index as its JSON has it; each part has a whole file and a delta from 0.9."""
    parts = {}
    for name in names:
        whole, delta = f"{name} {version}", f"{name} 0.9 to {version}"
        origin = {"version": "0.9", "root_hash": digest("root 0.9"), "size": 7, "sha256": digest(name)}
        parts[name] = {
            "size": 9,
            "sha256": digest(f"the {name} of {version}"),
            "files": [
                {"name": f"{digest(text)}.zst", "size": len(text), "sha256": digest(text), "from": start}
                for text, start in ((whole, None), (delta, origin))
            ],
        }
    return {
        "format": 1, "image_id": "colvert", "architecture": "x86_64", "channel": "stable", "version": version,
        "from_at_least": "0", "created": 1_700_000_000, "expires": 1_715_552_000,
        "root_hash": digest(f"root {version}"), "parts": parts, **changed,
    }  # fmt: skip


def index(version: str = "1.0.0", **changed: Any) -> Index:
    return Index.model_validate(fields(version, **changed))


def write_release(place: Path, made: Index, signer: Signer) -> Path:
    """A release's directory, as a build leaves it."""
    place.mkdir(parents=True, exist_ok=True)
    envelope = sign(PAYLOAD_TYPE, made.payload(), [signer]).to_bytes()
    for name in (SIGNED, f"{made.version}.json"):
        (place / name).write_bytes(envelope)
    for name, part in made.parts.items():
        (place / part.whole.name).write_text(f"{name} {made.version}")
    return place
