"""Machine: the firmware's variables with a project's Secure Boot keys enrolled.

OVMF keeps its variables in a firmware volume of the flash (edk2, MdeModulePkg/Include/Guid/
VariableFormat.h). The SDK's copy has none yet; here they are written into it, so that no boot is
spent on enrolling them.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from builder.errors import Code, ColvertError
from builder.machine.accel import FIRMWARE_VARS
from builder.signing.signature_list import ATTRIBUTES, VENDORS, efi_time

_VOLUME = uuid.UUID("fff12b8d-7696-4c8b-a985-2747075b4f50")
_STORE = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792")
_SECURE_BOOT_ENABLE = uuid.UUID("f0a30bc7-af08-4556-99c4-001009c93a44")
_STORE_HEAD, _START_ID, _ADDED = 28, 0x55AA, 0x3F
# SecureBootEnable is the firmware's own switch: non-volatile, boot service access
_OWN_ATTRIBUTES = 0x03
# any time will do, but later changes have to be later
_WHEN = datetime(2020, 1, 1, tzinfo=UTC)


def empty_variables(sdk: Path) -> bytes:
    """What a firmware of the SDK starts with that nobody has set up."""
    return (sdk / FIRMWARE_VARS.lstrip("/")).read_bytes()


def enrolled(empty: bytes, contents: Mapping[str, bytes]) -> bytes:
    """The variables of `empty` with PK, KEK, db and dbx as given (signature lists), Secure Boot on."""
    place, end = _store(empty)
    variables = bytearray()
    for name, content in contents.items():
        if content:
            variables += _variable(name, VENDORS[name], ATTRIBUTES, content, efi_time(_WHEN))
    variables += _variable("SecureBootEnable", _SECURE_BOOT_ENABLE, _OWN_ATTRIBUTES, b"\x01", bytes(16))
    if place + len(variables) > end:
        raise ColvertError(Code.TOO_LARGE, "the keys do not fit into the firmware's variables")
    return empty[:place] + bytes(variables) + empty[place + len(variables) :]


def _store(flash: bytes) -> tuple[int, int]:
    """Where the first variable goes, and where their store ends."""
    (head,) = struct.unpack_from("<H", flash, 48)
    (size,) = struct.unpack_from("<I", flash, head + 16)
    begin = head + _STORE_HEAD
    known = flash[16:32] == _VOLUME.bytes_le and flash[head : head + 16] == _STORE.bytes_le
    if not known or flash[begin : begin + 2] != b"\xff\xff":
        raise ColvertError(
            Code.IMAGE_INVALID,
            "the firmware's variables are of a kind that is not known, or not empty",
            hint="take the SDK's: /usr/share/OVMF/OVMF_VARS_4M.fd",
        )
    return begin, head + size


def _variable(name: str, vendor: uuid.UUID, attributes: int, content: bytes, stamp: bytes) -> bytes:
    text = f"{name}\0".encode("utf-16-le")
    head = struct.pack(
        "<HBBIQ16sIII16s",
        _START_ID, _ADDED, 0, attributes, 0, stamp, 0, len(text), len(content), vendor.bytes_le,
    )  # fmt: skip
    whole = head + text + content
    return whole + b"\xff" * (-len(whole) % 4)
