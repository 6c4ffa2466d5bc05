"""Release: what the machine with the keys does: read a request, show it, sign what fits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import Certificate

from builder.errors import Code, ColvertError, raise_all
from builder.release import authenticode, contents
from builder.release import index as update
from builder.release.contents import PROVENANCE_TYPE, Contents, parse_contents
from builder.release.index import Index, parse_index
from builder.release.keys import PublicKey
from builder.release.pkcs7 import sign_content
from builder.release.policy import Policy
from builder.release.request import Item, Kind, Request, Signature, Signatures, to_base64
from builder.release.signers import KeySigner
from builder.release.trust import root_hash

# what an item of a name holds; other names hold provenance
TYPES = {"update-index": update.PAYLOAD_TYPE, "release-index": contents.PAYLOAD_TYPE}


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
            return f"a certificate is needed: --cert {self.name}=FILE"
        key = self.certificate.public_key()
        assert isinstance(key, RSAPublicKey)
        if PublicKey(key).id != self.signer.public.id:
            return f"the certificate of {self.name} is another key's"
        return ""


def wanted(request: Request, holders: Mapping[str, Holder]) -> list[Item]:
    """The items that ask for the keys that are here."""
    found = [item for item in request.items if item.key in holders]
    unused = [name for name in holders if name not in {item.key for item in found}]
    if unused or not found:
        names = ", ".join(sorted({item.key for item in request.items}))
        what = f"nothing in the request asks for the key {', '.join(unused) or '(none given)'}"
        raise ColvertError(Code.USAGE, what, hint=f"it asks for {names}")
    problems = [(item, holders[item.key].misfit(item)) for item in found]
    raise_all([ColvertError(Code.USAGE, f"{item.name}: {why}") for item, why in problems if why])
    return found


def sign_items(request: Request, items: Sequence[Item], holders: Mapping[str, Holder]) -> Signatures:
    """Sign them; each signature is checked before it is given away."""
    return Signatures(request=request.digest, signatures=[_sign(item, holders[item.key]) for item in items])


def _sign(item: Item, holder: Holder) -> Signature:
    public, certificate = holder.signer.public, holder.certificate

    def checked(message: bytes) -> bytes:
        made = holder.signer.sign(message)
        if not public.verifies(message, made):
            raise ColvertError(
                Code.SIGNATURE_INVALID, f"{item.name}: what {holder.name} made is no signature of its own"
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
    """What is about to be signed, for a person to read."""
    yield f"{request.image_id} {request.version}, request {request.digest}"
    for item in items:
        yield f"  {item.name} ({item.kind}) with {item.key}"
        yield f"    {item.context}"
        yield f"    sha256 {item.digest}"
        if item.kind is Kind.DSSE:
            yield from (f"    {line}" for line in _inside(item, request))


def _inside(item: Item, request: Request) -> Iterator[str]:
    """What an envelope's content says of itself; what contradicts the request is refused."""
    yield f"{item.payload_type}, {len(item.payload)} bytes"
    try:
        content = json.loads(item.payload)
    except ValueError:
        return
    if not isinstance(content, dict):
        return
    for name, value in sorted(content.items()):
        if isinstance(value, str | int):
            yield f"{name}: {ascii(value)[:90]}"
        elif isinstance(value, list):
            yield f"{name}: {len(value)}"


def check_content(request: Request, items: Sequence[Item], policy: Policy) -> None:
    """Refuse an envelope whose content is not what its name says, or of another image or version."""
    errors = []
    for item in items:
        if item.kind is Kind.DSSE:
            try:
                _check_content(request, item, policy)
            except ColvertError as error:
                errors.append(error.but(what=f"{item.name}: {error.what}"))
    raise_all(errors)


def _check_content(request: Request, item: Item, policy: Policy) -> None:
    where = Path(item.name)
    if item.payload_type not in (TYPES.get(item.name), PROVENANCE_TYPE):
        raise ColvertError(Code.RELEASE_INVALID, f"it holds {item.payload_type!r}")
    made: Index | Contents
    if item.payload_type == update.PAYLOAD_TYPE:
        made = parse_index(item.payload, where)
    elif item.payload_type == contents.PAYLOAD_TYPE:
        made = parse_contents(item.payload, where)
        unknown = sorted(set(made.keys.model_dump().values()) - set(policy.keys))
        if policy.keys and unknown:
            what = f"the release has keys that the policy does not know: {', '.join(unknown)}"
            raise ColvertError(Code.POLICY, what)
    else:
        return
    if (made.image_id, made.version) != (request.image_id, request.version):
        what = f"it is of {made.image_id} {made.version}, the request of {request.image_id} {request.version}"
        raise ColvertError(Code.RELEASE_INVALID, what)
