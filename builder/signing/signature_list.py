"""UEFI signature lists, and the signed variables (.auth) with which firmware takes them.

UEFI Specification 2.10, 8.2.2 (EFI_VARIABLE_AUTHENTICATION_2) and 32.4.1 (EFI_SIGNATURE_LIST).
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from asn1crypto import cms
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder
from cryptography.x509 import Certificate

GLOBAL = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
SECURITY_DATABASE = uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
SHA256_DIGEST = uuid.UUID("c1c41626-504c-4092-aca9-41f936934328")
PKCS7 = uuid.UUID("4aafd29d-68df-49ee-8aa9-347d375665a7")
# the vendor GUID of each variable that decides what may start
VENDORS = {"PK": GLOBAL, "KEK": GLOBAL, "db": SECURITY_DATABASE, "dbx": SECURITY_DATABASE}
# non-volatile, boot service access, runtime access, authenticated by time
ATTRIBUTES = 0x27
_CERT_REVISION, _CERT_TYPE_GUID = 0x0200, 0x0EF1
_HEAD = struct.calcsize("<16sIII")


@dataclass(frozen=True)
class Signature:
    """One entry of a signature list: a certificate (DER) or the Authenticode digest of a program."""

    type: uuid.UUID
    data: bytes

    @classmethod
    def certificate(cls, certificate: Certificate) -> Signature:
        return cls(X509, certificate.public_bytes(Encoding.DER))

    @classmethod
    def digest(cls, digest: bytes) -> Signature:
        return cls(SHA256_DIGEST, digest)


def signature_lists(signatures: Sequence[Signature], owner: uuid.UUID) -> bytes:
    """A variable's content: each entry as a list of its own, since certificates differ in size."""
    return b"".join(
        struct.pack(
            "<16sIII", one.type.bytes_le, _HEAD + 16 + len(one.data), 0, 16 + len(one.data)
        )
        + owner.bytes_le
        + one.data
        for one in signatures
    )  # fmt: skip


def read_signatures(content: bytes) -> tuple[Signature, ...]:
    """The entries of a variable's content."""
    found: list[Signature] = []
    place = 0
    while place < len(content):
        if len(content) - place < _HEAD:
            raise ValueError("not a UEFI signature list")
        kind, size, header, each = struct.unpack_from("<16sIII", content, place)
        first, end = place + _HEAD + header, place + size
        if each <= 16 or end > len(content) or size < _HEAD + header or (end - first) % each:
            raise ValueError("not a UEFI signature list")
        found += [
            Signature(uuid.UUID(bytes_le=kind), content[at + 16 : at + each])
            for at in range(first, end, each)
        ]
        place = end
    return tuple(found)


def authenticated(
    name: str, content: bytes, when: datetime, certificate: Certificate, key: RSAPrivateKey
) -> bytes:
    """NAME.auth: the content, signed so that firmware takes it; `when` must grow from one to the next."""
    stamp = efi_time(when)
    what = b"".join(
        (name.encode("utf-16-le"), VENDORS[name].bytes_le, struct.pack("<I", ATTRIBUTES), stamp, content)
    )
    message = (
        PKCS7SignatureBuilder()
        .set_data(what)
        .add_signer(certificate, key, SHA256())
        .sign(
            Encoding.DER,
            [PKCS7Options.DetachedSignature, PKCS7Options.Binary, PKCS7Options.NoAttributes],
        )
    )
    # UEFI wants the SignedData without the ContentInfo around it
    signed: bytes = cms.ContentInfo.load(message)["content"].untag().dump()
    length = struct.calcsize("<IHH16s") + len(signed)
    head = struct.pack("<IHH16s", length, _CERT_REVISION, _CERT_TYPE_GUID, PKCS7.bytes_le)
    return stamp + head + signed + content


def signed_at(auth: bytes) -> datetime:
    """The time of a .auth file (UEFI 8.2.2, 8.3), in UTC. Raises ValueError for none."""
    try:
        year, month, day, hour, minute, second = struct.unpack_from("<H5B", auth)
    except struct.error as error:
        raise ValueError("too short for a time") from error
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


def content_of(auth: bytes) -> bytes:
    """The content of a .auth file's variable."""
    length = int.from_bytes(auth[16:20], "little")
    if not 0 < length <= len(auth) - 16:
        raise ValueError("not a signed UEFI variable")
    return auth[16 + length :]


def efi_time(when: datetime) -> bytes:
    """EFI_TIME in UTC; of a signed variable all but date and time is zero."""
    utc = when.astimezone(UTC)
    return struct.pack("<H5B9x", utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second)
