"""Authenticode signatures of EFI programs (PE/COFF): digest, structure and position.

Offsets are those of Microsoft's "PE Format", structures those of its "Windows Authenticode
Portable Executable Signature Format"; the UEFI specification 2.10, section 32.2, builds on both.
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.x509 import Certificate

from builder.errors import Code, ColvertError, Location
from builder.signing.pkcs7 import Content, sign_content, signers

PE32_PLUS = 0x20B
CHECKSUM = 64  # in the optional header
DIRECTORIES = 112
SECURITY = 4  # the certificate table is the fifth data directory
SECTION = "<8sIIII"
SECTION_SIZE = 40
# WIN_CERTIFICATE: length, revision 2.0, PKCS#7
CERTIFICATE = "<IHH"
REVISION, PKCS = 0x0200, 0x0002
UNIT = 8

INDIRECT_DATA = "1.3.6.1.4.1.311.2.1.4"
# SpcIndirectDataContent up to the digest: SPC_PE_IMAGE_DATAOBJ with no flags and an empty file name,
# then DigestInfo for SHA-256
_SPC = bytes.fromhex("3017060a2b06010401823702010f3009030100a004a2028000") + bytes.fromhex(
    "3031300d060960864801650304020105000420"
)


@dataclass(frozen=True)
class Pe:
    """A PE32+ program whose headers hold."""

    data: bytes
    optional: int
    sections: tuple[tuple[str, int, int], ...]

    @property
    def checksum_at(self) -> int:
        return self.optional + CHECKSUM

    @property
    def table_at(self) -> int:
        """Where the headers say where the certificate table is."""
        return self.optional + DIRECTORIES + UNIT * SECURITY

    @property
    def table(self) -> tuple[int, int]:
        """Start and size of the certificate table; 0, 0 where there is none."""
        start, size = struct.unpack_from("<II", self.data, self.table_at)
        return start, size

    @property
    def body(self) -> bytes:
        """Everything before the certificate table, filled up so that the table is aligned."""
        start, _ = self.table
        body = self.data[:start] if start else self.data
        return body + bytes(-len(body) % UNIT)

    def section(self, name: str) -> bytes:
        """The content of a section; empty where there is none."""
        return b"".join(self.data[start : start + size] for at, start, size in self.sections if at == name)


def parse_pe(data: bytes) -> Pe:
    """The headers of a 64-bit program, checked against its size."""
    try:
        (header,) = struct.unpack_from("<I", data, 60)
        if data[:2] != b"MZ" or data[header : header + 4] != b"PE\0\0":
            raise _invalid("not an EFI program")
        count, optional_size = struct.unpack_from("<H12xH", data, header + 6)
        optional = header + 24
        (magic,) = struct.unpack_from("<H", data, optional)
        (directories,) = struct.unpack_from("<I", data, optional + DIRECTORIES - 4)
        if magic != PE32_PLUS or directories <= SECURITY:
            raise _invalid("only 64-bit EFI programs with a certificate table can be signed")
        at = optional + optional_size
        rows = [struct.unpack_from(SECTION, data, at + SECTION_SIZE * number) for number in range(count)]
    except struct.error as error:
        raise _invalid("the headers are truncated") from error
    if any(start + raw > len(data) for _, _, _, raw, start in rows):
        raise _invalid("a section is truncated")
    sections = [
        (name.rstrip(b"\0").decode("ascii", "replace"), start, min(virtual, raw))
        for name, virtual, _, raw, start in rows
    ]
    pe = Pe(data, optional, tuple(sections))
    start, size = pe.table
    if (start or size) and (start % UNIT or start + size != len(data) or start < at):
        raise _invalid("the certificate table is not at the end")
    return pe


def digest_program(path: Path) -> bytes:
    """The digest by which firmware knows a program (dbx), signed or not."""
    try:
        pe = parse_pe(path.read_bytes() if path.is_file() else b"")
    except ColvertError as error:
        raise ColvertError(
            Code.USAGE,
            "not an EFI program",
            where=Location(str(path)),
            hint="pass a UKI or a boot loader",
        ) from error
    return bytes.fromhex(digest(pe))


def digest(pe: Pe) -> str:
    """The Authenticode digest: all but the checksum, the table's place, and the table."""
    found = hashlib.sha256()
    body = pe.body
    for start, end in (
        (0, pe.checksum_at),
        (pe.checksum_at + 4, pe.table_at),
        (pe.table_at + UNIT, len(body)),
    ):
        found.update(memoryview(body)[start:end])
    return found.hexdigest()


def content(sha256: str) -> Content:
    """SpcIndirectDataContent; what is hashed of it is its value alone."""
    value = _SPC + bytes.fromhex(sha256)
    return Content(INDIRECT_DATA, value, bytes((0x30, len(value))) + value)


def sign(sha256: str, certificate: Certificate, key: Callable[[bytes], bytes]) -> bytes:
    """The signature of a program whose Authenticode digest is known, and nothing else of it."""
    return sign_content(content(sha256), certificate, key)


def attach(pe: Pe, signatures: Sequence[bytes]) -> bytes:
    """The program with these signatures and no other."""
    body = bytearray(pe.body)
    table = b"".join(map(_certificate, signatures))
    struct.pack_into("<II", body, pe.table_at, len(body) if table else 0, len(table))
    struct.pack_into("<I", body, pe.checksum_at, 0)
    whole = bytes(body) + table
    struct.pack_into("<I", body, pe.checksum_at, _checksum(whole))
    return bytes(body) + table


def signatures(pe: Pe) -> list[bytes]:
    """The signatures in a program's certificate table."""
    start, size = pe.table
    found, at, end = [], start, start + size
    while at < end:
        if end - at < struct.calcsize(CERTIFICATE):
            raise _invalid("the certificate table is truncated")
        length, revision, kind = struct.unpack_from(CERTIFICATE, pe.data, at)
        if length < struct.calcsize(CERTIFICATE) or at + length > end or (revision, kind) != (REVISION, PKCS):
            raise _invalid("the certificate table contains an entry that is not PKCS#7")
        found.append(_trimmed(pe.data[at + UNIT : at + length]))
        at += -(-length // UNIT) * UNIT
    return found


def signed_by(pe: Pe, known: Iterable[Certificate]) -> list[Certificate]:
    """Those of the known certificates whose keys signed the program."""
    what = content(digest(pe))
    certificates = list(known)
    found = [one for data in signatures(pe) for one in signers(data, what, certificates)]
    return list(dict.fromkeys(found))


def _certificate(der: bytes) -> bytes:
    filled = der + bytes(-len(der) % UNIT)
    return struct.pack(CERTIFICATE, UNIT + len(filled), REVISION, PKCS) + filled


def _trimmed(filled: bytes) -> bytes:
    """DER without the zeros that fill it up: its own length says where it ends."""
    if len(filled) > 4 and filled[1] == 0x82:
        end = 4 + int.from_bytes(filled[2:4], "big")
        if end <= len(filled) < end + UNIT and not any(filled[end:]):
            return filled[:end]
    return filled


def _checksum(whole: bytes) -> int:
    """The PE checksum: 16-bit words with the carry added again, and the length."""
    words = array("H", whole)
    if struct.pack("=H", 1) != struct.pack("<H", 1):
        words.byteswap()
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total + len(whole)


def _invalid(what: str) -> ColvertError:
    return ColvertError(Code.RELEASE_INVALID, what)
