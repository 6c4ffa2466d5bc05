"""Credentials given to a guest at boot, and the ssh key that logs in to it.

systemd credentials travel as SMBIOS type 11 (OEM) strings: no network, no file in the image.
An image has no password and no key of its own: a machine started without a credential has no login.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from builder.errors import Code, ColvertError, Location
from builder.pipeline.files import write_once

SSH_CREDENTIAL = "ssh.authorized_keys.root"
KEY_COMMENT = "colvert-checkout"

# systemd takes a credential's name as a file name (systemd.exec(5), LoadCredential=)
_NAME = re.compile(r"[A-Za-z0-9_.@:-]{1,255}")


@dataclass(frozen=True)
class KeyPair:
    """An ssh key: the private half's file, and the public half as authorized_keys has it."""

    private: Path
    public: str


def smbios_values(credentials: Mapping[str, str | bytes]) -> list[str]:
    """The OEM strings that carry `credentials` (Base64, so any byte may be in them)."""
    values = []
    for name, content in sorted(credentials.items()):
        if not _NAME.fullmatch(name):
            raise ColvertError(
                Code.USAGE, f"invalid credential name {name!r}", hint="use letters, digits and _.@:-"
            )
        data = content.encode() if isinstance(content, str) else content
        values.append(f"io.systemd.credential.binary:{name}={base64.b64encode(data).decode()}")
    return values


def ssh_credentials(key: KeyPair) -> dict[str, str]:
    """The credential that lets the holder of `key` in as root."""
    return {SSH_CREDENTIAL: key.public + "\n"}


def checkout_key(state: Path) -> KeyPair:
    """The key of this checkout, made at first use and kept in its state directory."""
    private = state / "ssh" / "id_ed25519"
    if not private.exists():
        new = Ed25519PrivateKey.generate()
        write_once(private, new.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    try:
        key = load_ssh_private_key(private.read_bytes(), password=None)
    except ValueError as error:
        raise ColvertError(
            Code.USAGE,
            "the ssh key of this checkout is damaged",
            where=Location(str(private)),
            hint=f"rm {private} (the next run creates a new one)",
        ) from error
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return KeyPair(private, f"{line} {KEY_COMMENT}")
