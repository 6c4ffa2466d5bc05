"""Release: PKCS#7 SignedData (RFC 2315) around signatures that were made elsewhere.

Only SHA-256 with RSA: what UEFI firmware and the kernel's keyrings take. There are no times in
it, so one key and one content have one signature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from asn1crypto import core
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

from builder.errors import Code, ColvertError

SIGNED_DATA = "1.2.840.113549.1.7.2"
DATA = "1.2.840.113549.1.7.1"
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SHA_256 = "2.16.840.1.101.3.4.2.1"
RSA = "1.2.840.113549.1.1.1"
RSA_SHA_256 = "1.2.840.113549.1.1.11"
SET = b"\x31"


class _Algorithm(core.Sequence):
    _fields = [("algorithm", core.ObjectIdentifier), ("parameters", core.Any, {"optional": True})]


class _Inner(core.Sequence):
    # SpcIndirectDataContent, the only content that is ever inside
    _fields = [("data", core.Any), ("digest", core.Any)]


class _Content(core.Sequence):
    _fields = [("type", core.ObjectIdentifier), ("value", _Inner, {"explicit": 0, "optional": True})]


class _Issuer(core.Sequence):
    _fields = [("issuer", core.Any), ("serial", core.Integer)]


class _Values(core.SetOf):
    _child_spec = core.Any


class _Attribute(core.Sequence):
    _fields = [("type", core.ObjectIdentifier), ("values", _Values)]


class _Attributes(core.SetOf):
    _child_spec = _Attribute


class _SignerInfo(core.Sequence):
    _fields = [
        ("version", core.Integer),
        ("sid", _Issuer),
        ("digest_algorithm", _Algorithm),
        ("signed", _Attributes, {"implicit": 0, "optional": True}),
        ("signature_algorithm", _Algorithm),
        ("signature", core.OctetString),
        ("unsigned", _Attributes, {"implicit": 1, "optional": True}),
    ]


class _Algorithms(core.SetOf):
    _child_spec = _Algorithm


class _Certificates(core.SetOf):
    _child_spec = core.Any


class _SignerInfos(core.SetOf):
    _child_spec = _SignerInfo


class _SignedData(core.Sequence):
    _fields = [
        ("version", core.Integer),
        ("digest_algorithms", _Algorithms),
        ("content", _Content),
        ("certificates", _Certificates, {"implicit": 0, "optional": True}),
        ("crls", _Certificates, {"implicit": 1, "optional": True}),
        ("signer_infos", _SignerInfos),
    ]


class _ContentInfo(core.Sequence):
    _fields = [("type", core.ObjectIdentifier), ("content", _SignedData, {"explicit": 0})]


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
    der = core.Any.load(certificate.public_bytes(Encoding.DER))
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
        certificate = by_name.get((info["sid"]["issuer"].dump(), info["sid"]["serial"].native))
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


def _attributes(content: Content) -> _Attributes | None:
    """What is signed in the content's place where it is inside; detached, the content itself is."""
    if content.inner is None:
        return None
    digest = core.OctetString(hashlib.sha256(content.data).digest())
    return _Attributes(
        [
            _Attribute({"type": CONTENT_TYPE, "values": _Values([core.ObjectIdentifier(content.type)])}),
            _Attribute({"type": MESSAGE_DIGEST, "values": _Values([digest])}),
        ]
    )


def _algorithm(name: str) -> _Algorithm:
    return _Algorithm({"algorithm": name, "parameters": core.Null()})


def _info(certificate: Certificate, attributes: _Attributes | None, signature: bytes) -> _SignerInfo:
    fields = {
        "version": 1,
        "sid": {
            "issuer": core.Any.load(certificate.issuer.public_bytes()),
            "serial": certificate.serial_number,
        },
        "digest_algorithm": _algorithm(SHA_256),
        "signature_algorithm": _algorithm(RSA),
        "signature": signature,
    }
    if attributes is not None:
        fields["signed"] = attributes
    return _SignerInfo(fields)


def _assemble(content: Content, certificates: Sequence[core.Any], infos: Sequence[_SignerInfo]) -> bytes:
    inner: dict[str, object] = {"type": content.type}
    if content.inner is not None:
        inner["value"] = _Inner.load(content.inner)
    data = _SignedData(
        {
            "version": 1,
            "digest_algorithms": _Algorithms([_algorithm(SHA_256)]),
            "content": inner,
            "certificates": _Certificates(list(certificates)),
            "signer_infos": _SignerInfos(list(infos)),
        }
    )
    made: bytes = _ContentInfo({"type": SIGNED_DATA, "content": data}).dump()
    return made


def _load(data: bytes) -> _SignedData:
    """All of a message, read once: what is lazy in the library is read here, in one place that fails."""
    try:
        loaded = _ContentInfo.load(data, strict=True)
        if loaded["type"].dotted != SIGNED_DATA:
            raise _wrong("it is no SignedData")
        inner: _SignedData = loaded["content"]
        for info in inner["signer_infos"]:
            _ = info["sid"]["serial"].native, info["signature"].native, info["signed"].native
            _ = info["digest_algorithm"]["algorithm"].dotted
        _ = [one.dump() for one in inner["certificates"]]
        _ = inner["content"]["type"].dotted, inner["content"]["value"].dump()
        return inner
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError, RecursionError) as error:
        raise _wrong(f"it is not well formed ({error})") from error


def _wrong(what: str) -> ColvertError:
    return ColvertError(Code.SIGNATURE_INVALID, f"no PKCS#7 signature: {what}")
