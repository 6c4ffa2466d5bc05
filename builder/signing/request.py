"""Signing request of a build, and the signatures that answer it.

Formats: docs/reference/release-index.md. Nothing here touches more than bytes: the machine
that holds the keys reads and writes these files and needs nothing else of Colvert.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from builder.errors import Code, ColvertError, Location
from builder.pipeline.key import digest_bytes, digest_value
from builder.pipeline.validation import first_mistake
from builder.signing.boot_signatures import LOADER_ITEM, UKI_ITEM, USR_ROOT_HASH
from builder.updates.contents import PROVENANCE, RELEASE_INDEX, UPDATE_INDEX
from builder.updates.dsse import pae
from builder.updates.index import Digest, VersionText, Word

# the indexes of a release of every target, with its provenance, have 64 KB
MAX_SIZE = 8 << 20

ItemName = Annotated[str, Field(pattern="^[a-z0-9]+(-[a-z0-9]+)*$", max_length=63)]
KeyName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
# it is shown on a terminal: printable, and one line
Line = Annotated[str, Field(pattern=r"^[ -~]*$", max_length=300)]


class Kind(StrEnum):
    """Kinds of signed content."""

    AUTHENTICODE = "authenticode"
    ROOT_HASH = "pkcs7-roothash"
    DSSE = "dsse"


# all that a release has to sign: what has no other name is signed once in a version
ITEMS: Mapping[Kind, tuple[str, ...]] = {
    Kind.AUTHENTICODE: (UKI_ITEM, LOADER_ITEM),
    Kind.ROOT_HASH: (USR_ROOT_HASH,),
    Kind.DSSE: (UPDATE_INDEX, RELEASE_INDEX, PROVENANCE),
}


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Item(_Model):
    """One thing to sign. `content` is what the signer should see, where it is small enough."""

    name: ItemName
    kind: Kind
    algorithm: Literal["sha256"] = "sha256"
    digest: Digest
    content: str = ""
    payload_type: Line = ""
    key: KeyName
    context: Line

    @property
    def payload(self) -> bytes:
        return from_base64(self.content)

    @property
    def message(self) -> bytes:
        """The signed bytes of a root hash or an envelope."""
        return pae(self.payload_type, self.payload) if self.kind is Kind.DSSE else self.payload

    @model_validator(mode="after")
    def _fits(self) -> Item:
        """The digest is that of the content: who reads the one knows the other."""
        content = self.payload
        if self.kind is Kind.AUTHENTICODE and content:
            raise ValueError("an Authenticode item has only a digest, no content")
        if self.kind is Kind.ROOT_HASH and content != self.digest.encode():
            raise ValueError("the content is not the root hash")
        if self.kind is Kind.DSSE and digest_bytes(pae(self.payload_type, content)) != self.digest:
            raise ValueError("the digest does not match the content")
        if (self.kind is Kind.DSSE) != bool(self.payload_type):
            raise ValueError("an envelope requires a payload type, and no other item has one")
        if self.name not in ITEMS[self.kind]:
            raise ValueError(f"an item of kind {self.kind} must be named {', '.join(ITEMS[self.kind])}")
        return self


class Request(_Model):
    """All that one release waits for."""

    format: Literal[1] = 1
    image_id: Word
    version: VersionText
    created: Annotated[int, Field(ge=0, lt=1 << 63)]
    items: Annotated[list[Item], Field(min_length=1, max_length=64)]

    @property
    def digest(self) -> str:
        """The digest of the request, independent of white space in its file."""
        return digest_value(self.model_dump(mode="json"))

    def item(self, name: str) -> Item | None:
        return next((item for item in self.items if item.name == name), None)

    @model_validator(mode="after")
    def _names_differ(self) -> Request:
        if len({item.name for item in self.items}) != len(self.items):
            raise ValueError("duplicate item name")
        return self


class Signature(_Model):
    """One key's signature of one item: PKCS#7 in DER, or the plain signature of an envelope."""

    name: ItemName
    keyid: Digest
    value: str

    @property
    def data(self) -> bytes:
        return from_base64(self.value)

    @model_validator(mode="after")
    def _base64(self) -> Signature:
        if not self.data:
            raise ValueError("an empty signature")
        return self


class Signatures(_Model):
    """Signatures of a signer for one request."""

    format: Literal[1] = 1
    request: Digest
    signatures: Annotated[list[Signature], Field(max_length=1024)]


File = TypeVar("File", bound=BaseModel)


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def from_base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("invalid Base64") from error
    if to_base64(data) != text:
        raise ValueError("invalid Base64: unused bits are set")
    return data


def to_text(value: BaseModel) -> bytes:
    """A file that a person can read."""
    return json.dumps(value.model_dump(mode="json"), indent=1, sort_keys=True).encode() + b"\n"


def parse_request(data: bytes, where: Path) -> Request:
    """A request from its bytes."""
    return _parse(Request, data, "signing request", where)


def parse_signatures(data: bytes, where: Path) -> Signatures:
    """A file of signatures from its bytes; not verified yet."""
    return _parse(Signatures, data, "file of signatures", where)


def read_request(path: Path) -> Request:
    return parse_request(read_some(path, MAX_SIZE), path)


def read_signatures(paths: Sequence[Path]) -> list[Signatures]:
    return [parse_signatures(read_some(path, MAX_SIZE), path) for path in paths]


def read_some(path: Path, size: int) -> bytes:
    """A file, or one byte more than it may have."""
    with path.open("rb") as stream:
        return stream.read(size + 1)


def _parse(model: type[File], data: bytes, what: str, where: Path) -> File:
    place = Location(str(where))
    if len(data) > MAX_SIZE:
        raise ColvertError(Code.RELEASE_INVALID, f"the {what} is larger than {MAX_SIZE} bytes", where=place)
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        text = f"not a {what}: {first_mistake(error)}"
        raise ColvertError(Code.RELEASE_INVALID, text, where=place) from error
