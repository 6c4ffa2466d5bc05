"""Parts of a release: what fills a slot of a machine, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

# the part of a release whose root hash is signed
SIGNATURE = "signature"


@dataclass(frozen=True)
class PartKind:
    """One part."""

    name: str
    # the slot's partition that it fills, as it is called between id and version; empty: a file of the ESP
    partition: str = ""
    # every release has it
    always: bool = True
    # it can come of an earlier one by a delta
    delta: bool = True


# in the order in which a machine's log and our messages name them
PARTS: Mapping[str, PartKind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            PartKind("usr", "usr"),
            PartKind("verity", "usr-verity"),
            PartKind("uki"),
            # smaller than a delta
            PartKind(SIGNATURE, "usr-verity-sig", always=False, delta=False),
        )
    }
)
PART_NAMES = tuple(kind.name for kind in PARTS.values() if kind.always)
