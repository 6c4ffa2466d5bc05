"""Boot signatures: what the signing step gives back for the programs that boot and the root hashes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# names of what is signed, in requests and policies
UKI_ITEM, LOADER_ITEM, USR_ROOT_HASH = "uki", "loader", "usr-root-hash"


@dataclass(frozen=True)
class SignedRootHash:
    """A PKCS#7 structure (DER) over a root hash."""

    signature: bytes
    certificate: str
    """SHA-256 of the certificate of its first key, in hexadecimal."""


@dataclass(frozen=True)
class BootSignatures:
    """Signatures by the names of what they sign; a build has none."""

    # PKCS#7 structures (DER) of each program
    programs: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    root_hashes: Mapping[str, SignedRootHash] = field(default_factory=dict)


UNSIGNED = BootSignatures()
