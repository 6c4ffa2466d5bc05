"""PKCS#7 SignedData (RFC 2315) around signatures that were made elsewhere.

Only SHA-256 with RSA: what UEFI firmware and the kernel's keyrings take. There are no times in
it, so one key and one content have one signature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from asn1crypto import cms, core, x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

from builder.errors import Code, ColvertError

DATA = "1.2.840.113549.1.7.1"
SHA_256 = {"algorithm": "sha256"}
SET = b"\x31"


@dataclass(frozen=True)
class Content:
    """What is signed: its type, its bytes, and (inside the message, else detached) its DER."""

    type: str
    data: bytes
    inner: bytes | None = None


def sign_content(content: Content, certificate: Certificate, sign: Callable[[bytes], bytes]) -> bytes:
    """SignedData over `content`; `sign` makes the RSA signature of a message, wherever the key is."""
    return _whole(content, certificate, sign(_message(content)))


def _whole(content: Content, certificate: Certificate, signature: bytes) -> bytes:
    der = x509.Certificate.load(certificate.public_bytes(Encoding.DER))
    return _assemble(content, [der], [_info(certificate, _attributes(content), signature)])


def merge(parts: Sequence[bytes], content: Content) -> bytes:
    """Several signers' SignedData over one content as one."""
    loaded = [_load(part) for part in parts]
    infos = {info.dump(): info for data in loaded for info in data["signer_infos"]}
    found = {one.dump(): one for data in loaded for one in data["certificates"]}
    return _assemble(content, [found[key] for key in sorted(found)], [infos[key] for key in sorted(infos)])


def signers(data: bytes, content: Content, known: Iterable[Certificate]) -> list[Certificate]:
    """The known certificates that `data`, which has to be well formed, is over `content` by.

    None where it is anything else: by a stranger too, with a certificate too many or too few, or
    written in another way. Firmware and openssl look at more than one good signature, and what
    is made again from its signatures alone leaves nothing to differ about.
    """
    loaded = _load(data)
    certificates = loaded["certificates"]
    inside = set() if isinstance(certificates, core.Void) else {one.dump() for one in certificates}
    by_name = {_name(one): one for one in known if one.public_bytes(Encoding.DER) in inside}
    found, parts = [], []
    for info in loaded["signer_infos"]:
        signer = info["sid"].chosen
        certificate = by_name.get((signer["issuer"].dump(), signer["serial_number"].native))
        if certificate is None:
            return []
        signature = info["signature"].native
        if not _verifies(certificate, content, signature):
            return []
        found.append(certificate)
        parts.append(_whole(content, certificate, signature))
    return found if parts and merge(parts, content) == data else []


def _name(certificate: Certificate) -> tuple[bytes, int]:
    """What a message calls a certificate."""
    return certificate.issuer.public_bytes(), certificate.serial_number


def _verifies(certificate: Certificate, content: Content, signature: bytes) -> bool:
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey):
        return False
    try:
        key.verify(signature, _message(content), PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def _message(content: Content) -> bytes:
    """What the key itself signs."""
    attributes = _attributes(content)
    return content.data if attributes is None else SET + bytes(attributes.dump()[1:])


def _attributes(content: Content) -> cms.CMSAttributes | None:
    """What is signed in the content's place where it is inside; detached, the content itself is."""
    if content.inner is None:
        return None
    digest = hashlib.sha256(content.data).digest()
    return cms.CMSAttributes(
        [
            {"type": "content_type", "values": [content.type]},
            {"type": "message_digest", "values": [digest]},
        ]
    )


def _info(certificate: Certificate, attributes: cms.CMSAttributes | None, signature: bytes) -> cms.SignerInfo:
    issuer = x509.Name.load(certificate.issuer.public_bytes())
    name = {"issuer": issuer, "serial_number": certificate.serial_number}
    fields = {
        "version": "v1",
        "sid": cms.SignerIdentifier("issuer_and_serial_number", name),
        "digest_algorithm": SHA_256,
        "signature_algorithm": {"algorithm": "rsassa_pkcs1v15"},
        "signature": signature,
    }
    if attributes is not None:
        fields["signed_attrs"] = attributes
    return cms.SignerInfo(fields)


def _assemble(
    content: Content, certificates: Sequence[cms.CertificateChoices], infos: Sequence[cms.SignerInfo]
) -> bytes:
    inner = {"content_type": content.type}
    if content.inner is not None:
        # the library tags what it has a type for, and Authenticode's content has none
        inner["content"] = core.Sequence.load(content.inner).retag({"explicit": 0})
    data = {
        "version": "v1",
        "digest_algorithms": [SHA_256],
        "encap_content_info": inner,
        "certificates": certificates,
        "signer_infos": infos,
    }
    made: bytes = cms.ContentInfo({"content_type": "signed_data", "content": data}).dump()
    return made


def _load(data: bytes) -> cms.SignedData:
    """All of a message, read once: what is lazy in the library is read here, in one place that fails."""
    try:
        loaded = cms.ContentInfo.load(data, strict=True)
        if loaded["content_type"].native != "signed_data":
            raise _wrong("not SignedData")
        inner: cms.SignedData = loaded["content"]
        for info in inner["signer_infos"]:
            signer = info["sid"].chosen
            _ = signer["issuer"].dump(), signer["serial_number"].native, info["signature"].native
        _ = [one.dump() for one in inner["certificates"]]
        return inner
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError, RecursionError) as error:
        raise _wrong(f"malformed ({error})") from error


def _wrong(what: str) -> ColvertError:
    return ColvertError(Code.SIGNATURE_INVALID, f"invalid PKCS#7 signature: {what}")
