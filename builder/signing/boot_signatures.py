"""Signatures of the boot files and the root hash, as a stage takes them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BootSignatures:
    """PKCS#7 structures (DER) for the UKI, the boot loader and the root hash; a build has none."""

    uki: tuple[bytes, ...] = ()
    loader: tuple[bytes, ...] = ()
    root_hash: bytes | None = None
    certificate: str = ""
    """SHA-256 of the certificate of the root hash, in hexadecimal."""


UNSIGNED = BootSignatures()
