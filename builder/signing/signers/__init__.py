"""Places of private keys: a file, a token (PKCS#11), a cloud's key service.

A signer takes a message and gives back a signature of a kind that machines know: RSA with
PKCS#1 v1.5 and SHA-256, ECDSA on P-256 with SHA-256, or Ed25519. Each module is imported when a
key of its kind is named.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

from builder.errors import Code, ColvertError
from builder.updates.keys import PublicKey

# what a key's address starts with -> module, and the extra that it needs
KINDS = {"pkcs11:": ("pkcs11", "pkcs11"), "awskms:": ("awskms", "kms")}


class KeySigner(Protocol):
    """A private key, wherever it is."""

    @property
    def public(self) -> PublicKey: ...

    def sign(self, message: bytes) -> bytes: ...


class Ask(Protocol):
    """How a secret is asked for: its question, and the environment variable that may answer it."""

    def __call__(self, question: str, variable: str) -> str: ...


def open_signer(address: str, ask: Ask) -> KeySigner:
    """The key at an address: `pkcs11:...`, `awskms:...`, or a PEM file's path."""
    for prefix, (module, extra) in KINDS.items():
        if address.startswith(prefix):
            try:
                found = import_module(f"{__name__}.{module}")
            except ImportError as error:
                what = f"{prefix} keys require the extra [{extra}]: {error}"
                raise ColvertError(Code.USAGE, what, hint=f"pip install 'colvert[{extra}]'") from error
            opened: KeySigner = found.open_key(address, ask)
            return opened
    from builder.signing.signers import pem

    return pem.open_key(address, ask)
