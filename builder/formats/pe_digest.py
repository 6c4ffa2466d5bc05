"""Formats: the Authenticode digest of an EFI program, by which firmware knows it (dbx).

Windows Authenticode Portable Executable Signature Format, "Calculating the PE Image Hash": all but the
checksum, the entry of the certificate table, and the certificates at the end.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from builder.errors import Code, ColvertError, Location

_CHECKSUM = 64
# of the optional header: its magic -> where the entry of the certificate table is
_SECURITY_ENTRY = {0x10B: 128, 0x20B: 144}
# a signed program's certificates begin at a multiple of this, and zeros that fill up count
_ALIGNMENT = 8


def authenticode_digest(path: Path) -> bytes:
    """The SHA-256 that firmware computes of a program, signed or not."""
    data = path.read_bytes() if path.is_file() else b""
    try:
        optional, entry = _places(data)
        offset, size = struct.unpack_from("<II", data, entry)
    except struct.error:
        optional = entry = 0
    if not entry or (size and offset + size > len(data)):
        raise ColvertError(
            Code.USAGE,
            "this is no EFI program",
            where=Location(str(path)),
            hint="give a UKI or a boot loader",
        )
    end = offset if size else len(data)
    digest = hashlib.sha256(data[: optional + _CHECKSUM])
    digest.update(data[optional + _CHECKSUM + 4 : entry])
    digest.update(data[entry + 8 : end])
    if not size:
        digest.update(bytes(-len(data) % _ALIGNMENT))
    return digest.digest()


def _places(data: bytes) -> tuple[int, int]:
    """Where the optional header and the certificate table's entry are; zeros where this is no PE file."""
    (head,) = struct.unpack_from("<I", data, 0x3C)
    optional = head + 24
    (magic,) = struct.unpack_from("<H", data, optional)
    if data[:2] != b"MZ" or data[head : head + 4] != b"PE\0\0" or magic not in _SECURITY_ENTRY:
        return 0, 0
    return optional, optional + _SECURITY_ENTRY[magic]
