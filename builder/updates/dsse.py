"""Signed envelopes: DSSE 1.0.2 (github.com/secure-systems-lab/dsse)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from builder.errors import Code, ColvertError
from builder.pipeline.key import canonical
from builder.updates.keys import PublicKey, Signer


class Signature(BaseModel):
    """A signature, and the id of the key that made it."""

    model_config = ConfigDict(frozen=True, strict=True)

    keyid: str = ""
    sig: str


class Envelope(BaseModel):
    """A payload, its type, and its signatures."""

    model_config = ConfigDict(frozen=True, strict=True)

    payload_type: Annotated[str, Field(alias="payloadType")]
    payload: str
    signatures: Annotated[list[Signature], Field(min_length=1)]

    def content(self) -> bytes:
        """The payload itself."""
        return _decode(self.payload)

    def to_bytes(self) -> bytes:
        return canonical(self.model_dump(mode="json", by_alias=True)) + b"\n"


def pae(payload_type: str, payload: bytes) -> bytes:
    """The signed bytes: the pre-authentication encoding, unique per type and payload."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sign(payload_type: str, payload: bytes, signers: Iterable[Signer]) -> Envelope:
    """An envelope around a payload, signed by each."""
    message = pae(payload_type, payload)
    signatures = [Signature(keyid=signer.id, sig=_encode(signer.sign(message))) for signer in signers]
    return Envelope.model_validate(
        {"payloadType": payload_type, "payload": _encode(payload), "signatures": signatures}
    )


def parse(data: bytes) -> Envelope:
    """An envelope from its bytes; not verified yet."""
    try:
        envelope = Envelope.model_validate_json(data)
    except ValidationError as error:
        what = error.errors(include_url=False)[0]["msg"]
        raise ColvertError(Code.RELEASE_INVALID, f"not a signed envelope: {what}") from error
    for text in (envelope.payload, *(signature.sig for signature in envelope.signatures)):
        _decode(text)
    return envelope


def verify(envelope: Envelope, payload_type: str, ring: Iterable[PublicKey]) -> bytes:
    """The payload, where one of the trusted keys signed it as `payload_type`."""
    if envelope.payload_type != payload_type:
        raise ColvertError(Code.RELEASE_INVALID, f"unexpected payload type {envelope.payload_type[:80]!r}")
    payload = envelope.content()
    message = pae(payload_type, payload)
    # keyid is a hint that nobody signed (DSSE, "Protocol"): any of the trusted keys may fit
    for key in ring:
        if any(key.verifies(message, _decode(signature.sig)) for signature in envelope.signatures):
            return payload
    raise ColvertError(
        Code.RELEASE_INVALID,
        "not signed by any of the trusted keys",
        detail=[f"signed by {signature.keyid[:64]}" for signature in envelope.signatures[:8]],
    )


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ColvertError(Code.RELEASE_INVALID, "not a signed envelope: invalid Base64") from error
