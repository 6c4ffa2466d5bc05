"""Signer's side of a request: read, shown, checked against the policy, signed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import Certificate

from builder.errors import Code, ColvertError, raise_all
from builder.pipeline.key import digest_bytes
from builder.signing import authenticode
from builder.signing.pkcs7 import sign_content
from builder.signing.policy import Policy
from builder.signing.request import Item, Kind, Request, Signature, Signatures, to_base64
from builder.signing.signers import KeySigner
from builder.signing.trust import root_hash
from builder.updates import contents
from builder.updates import index as update
from builder.updates.contents import (
    PROVENANCE,
    PROVENANCE_TYPE,
    RELEASE_INDEX,
    UPDATE_INDEX,
    Contents,
    described,
    parse_contents,
    pending,
)
from builder.updates.index import Index, parse_index
from builder.updates.keys import PublicKey
from builder.updates.statement import Statement, parse_statement

# what an item of a name holds
TYPES = {
    UPDATE_INDEX: update.PAYLOAD_TYPE,
    RELEASE_INDEX: contents.PAYLOAD_TYPE,
    PROVENANCE: PROVENANCE_TYPE,
}


@dataclass(frozen=True)
class Holder:
    """A private key under the name that requests call it by, and its certificate if it has one."""

    name: str
    signer: KeySigner
    certificate: Certificate | None = None

    def misfit(self, item: Item) -> str:
        """Why this key cannot sign the item; empty when it can."""
        if item.kind is Kind.DSSE:
            return ""
        if self.certificate is None:
            return f"key {self.name} requires a certificate: --cert {self.name}=FILE"
        key = self.certificate.public_key()
        assert isinstance(key, RSAPublicKey)
        if PublicKey(key).id != self.signer.public.id:
            return f"the certificate of {self.name} belongs to another key"
        return ""


def wanted(request: Request, holders: Mapping[str, Holder]) -> list[Item]:
    """The items that ask for the keys that are here."""
    found = [item for item in request.items if item.key in holders]
    unused = [name for name in holders if name not in {item.key for item in found}]
    if unused or not found:
        names = ", ".join(sorted({item.key for item in request.items}))
        what = f"no item of the request requires the key {', '.join(unused) or '(none given)'}"
        raise ColvertError(Code.USAGE, what, hint=f"use --key with {names}")
    problems = [(item, holders[item.key].misfit(item)) for item in found]
    raise_all([ColvertError(Code.USAGE, f"{item.name}: {why}") for item, why in problems if why])
    return found


def sign_items(request: Request, items: Sequence[Item], holders: Mapping[str, Holder]) -> Signatures:
    """Sign the items; each signature is verified before it is returned."""
    return Signatures(request=request.digest, signatures=[_sign(item, holders[item.key]) for item in items])


def _sign(item: Item, holder: Holder) -> Signature:
    public, certificate = holder.signer.public, holder.certificate

    def checked(message: bytes) -> bytes:
        made = holder.signer.sign(message)
        if not public.verifies(message, made):
            raise ColvertError(
                Code.SIGNATURE_INVALID,
                f"{item.name}: the signature by {holder.name} does not verify with its public key",
            )
        return made

    if item.kind is Kind.DSSE:
        data = checked(item.message)
    else:
        assert certificate is not None
        content = (
            authenticode.content(item.digest) if item.kind is Kind.AUTHENTICODE else root_hash(item.digest)
        )
        data = sign_content(content, certificate, checked)
    return Signature(name=item.name, keyid=public.id, value=to_base64(data))


def shown(request: Request, items: Sequence[Item]) -> Iterator[str]:
    """Description of the items to sign, for the person who signs."""
    yield f"{request.image_id} {request.version}, request {request.digest}"
    for item in items:
        yield f"  {item.name} ({item.kind}) with {item.key}"
        yield f"    {item.context}"
        yield f"    sha256 {item.digest}"
        if item.kind is Kind.DSSE:
            yield from (f"    {line}" for line in _inside(item))


def _inside(item: Item) -> Iterator[str]:
    """What an envelope's content, which was checked before, says of itself."""
    yield f"{item.payload_type}, {len(item.payload)} bytes"
    for name, value in sorted(json.loads(item.payload).items()):
        if isinstance(value, str | int):
            yield f"{_word(name)}: {ascii(value)[:90]}"
        elif isinstance(value, list):
            yield f"{_word(name)}: {len(value)}"


def _word(name: str) -> str:
    """A key as it is where it is a plain word; else so that it looks like nothing else."""
    return name if re.fullmatch("[A-Za-z_]{1,30}", name) else _told(name)


def check_content(request: Request, items: Sequence[Item], policy: Policy) -> None:
    """Refuse an envelope whose content does not match its name, or is of another image or version."""
    errors = []
    release = _release(request)
    for item in items:
        if item.kind is Kind.DSSE:
            try:
                _check_content(request, item, policy, release)
            except ColvertError as error:
                errors.append(error.but(what=f"{item.name}: {error.what}"))
    raise_all(errors)


def _release(request: Request) -> Contents | None:
    """The release index that the request has, which all else in it has to fit."""
    item = request.item(RELEASE_INDEX)
    if item is None or item.payload_type != TYPES[RELEASE_INDEX]:
        return None
    return parse_contents(item.payload, Path(RELEASE_INDEX))


def _check_content(request: Request, item: Item, policy: Policy, release: Contents | None) -> None:
    where = Path(item.name)
    if item.payload_type != TYPES.get(item.name):
        raise _invalid(f"unexpected payload type {item.payload_type!r}")
    made: Index | Contents | Statement
    if item.name == RELEASE_INDEX:
        made = parse_contents(item.payload, where)
        _check_keys(made, policy)
    elif item.name == UPDATE_INDEX:
        made = parse_index(item.payload, where)
    else:
        made = parse_statement(item.payload, where)
    # a key that is there twice is another value to another parser
    if not isinstance(made, Statement) and made.payload() != item.payload:
        raise _invalid("not canonical JSON")
    if (made.image_id, made.version) != (request.image_id, request.version):
        raise _invalid(
            f"it describes {made.image_id} {made.version}, the request {request.image_id} {request.version}"
        )
    if release is not None:
        _check_release(item, made, release)


def _check_keys(release: Contents, policy: Policy) -> None:
    unknown = sorted(set(release.keys.model_dump().values()) - set(policy.keys))
    if policy.keys and unknown:
        what = f"the release has keys that the policy does not allow: {', '.join(unknown)}"
        raise ColvertError(Code.POLICY, what)


def _check_release(item: Item, made: Index | Contents | Statement, release: Contents) -> None:
    """What the release index says of the rest of the request is so."""
    listed = {one.path: one.sha256 for one in release.envelopes}
    payload = digest_bytes(item.payload)
    envelope = pending(release.version).get(item.name)
    if envelope is not None and any(listed.get(path) != payload for path in envelope.files):
        raise _invalid("it differs from the one listed in the release index")
    if isinstance(made, Index):
        if (made.architecture, made.root_hash) != (release.architecture, release.root_hash):
            raise _invalid("its architecture or root hash differs from the release index")
    elif isinstance(made, Statement):
        _check_subjects(made, release)


def _check_subjects(statement: Statement, release: Contents) -> None:
    files = described(release)
    other = [one.name for one in statement.subject if files.get(one.name) != one.digest.sha256]
    if other:
        raise _invalid(
            f"it lists files that are not in the release index: {', '.join(map(_told, other[:5]))}"
        )


def _told(text: str) -> str:
    """Somebody else's text on a terminal: one line, which cannot look like another."""
    return ascii(text)[:60]


def _invalid(what: str) -> ColvertError:
    return ColvertError(Code.RELEASE_INVALID, what)
