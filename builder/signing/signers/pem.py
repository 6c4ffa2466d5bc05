"""Private keys in PEM files."""

from __future__ import annotations

from pathlib import Path

from builder.errors import Location
from builder.signing.signers import Ask
from builder.updates.keys import Signer, read_private


def open_key(address: str, ask: Ask) -> Signer:
    """Read a key file; one that is encrypted asks for its passphrase."""
    path, where = Path(address), Location(address)
    data = path.read_bytes()
    try:
        return read_private(data, where)
    except TypeError:
        password = ask(f"Passphrase of {path.name}", "COLVERT_KEY_PASSPHRASE")
        return read_private(data, where, password.encode())
