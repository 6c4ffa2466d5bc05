"""Update index: the update files of one version (docs/reference/update-index.md)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from builder.errors import Code, ColvertError, Location
from builder.pipeline.key import canonical
from builder.pipeline.validation import first_mistake
from builder.updates.parts import PART_NAMES, PARTS

FORMAT = 1
PAYLOAD_TYPE = "application/vnd.colvert.update-index.v1+json"
# what a machine reads at most, envelope and all
MAX_SIZE = 1 << 20
M = TypeVar("M", bound=BaseModel)

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Bytes = Annotated[int, Field(ge=0, lt=1 << 63)]
Seconds = Annotated[int, Field(ge=0, lt=1 << 63)]
Word = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[ -~]+$")]
VersionText = Annotated[str, Field(pattern=r"^[0-9A-Za-z]+(\.[0-9A-Za-z]+)*$", max_length=39)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Origin(_Model):
    """The part that a delta starts from, and the version that it belongs to."""

    version: VersionText
    root_hash: Digest
    size: Bytes
    sha256: Digest


class File(_Model):
    """One way to get a part: whole, or (with an origin) a delta."""

    name: str
    size: Bytes
    sha256: Digest
    # the contract's name is a keyword of the language
    origin: Annotated[Origin | None, Field(alias="from")] = None

    @model_validator(mode="after")
    def _named_by_content(self) -> File:
        if self.name != file_name(self.sha256):
            raise ValueError("a file is named by its SHA-256")
        return self


class Part(_Model):
    """What lands on the disk, and the ways to get it."""

    size: Bytes
    sha256: Digest
    files: list[File]

    @property
    def whole(self) -> File:
        return next(file for file in self.files if file.origin is None)

    @model_validator(mode="after")
    def _one_whole(self) -> Part:
        if sum(file.origin is None for file in self.files) != 1:
            raise ValueError("a part has one whole file")
        return self


def _in_order(parts: Mapping[str, Part]) -> Mapping[str, Part]:
    """All parts that a release has, and no other, in the order of PARTS."""
    unknown = sorted(parts.keys() - PARTS.keys())
    missing = [name for name in PART_NAMES if name not in parts]
    if unknown:
        raise ValueError(f"no part of a release is called {unknown[0][:80]!a}")
    if missing:
        raise ValueError(f"the part {missing[0]} is missing")
    return {name: parts[name] for name in PARTS if name in parts}


Parts = Annotated[Mapping[str, Part], AfterValidator(_in_order)]


class Index(_Model):
    """One release."""

    format: Literal[1] = 1
    image_id: Word
    architecture: Annotated[str, Field(min_length=1, max_length=15, pattern="^[0-9a-z_]+$")]
    channel: Word
    version: VersionText
    from_at_least: VersionText
    created: Seconds
    expires: Seconds
    root_hash: Digest
    parts: Parts

    def payload(self) -> bytes:
        """The one byte string that stands for this index; this is what is signed."""
        return canonical(self.model_dump(mode="json", by_alias=True))


def file_name(sha256: str) -> str:
    """The name of an update file."""
    return f"{sha256}.zst"


def parse_payload(model: type[M], payload: bytes, what: str, where: Path) -> M:
    """What an envelope holds as a model; the error names the first thing that is wrong."""
    try:
        return model.model_validate_json(payload)
    except ValidationError as error:
        raise ColvertError(
            Code.RELEASE_INVALID,
            f"no {what}: {first_mistake(error)}",
            where=Location(str(where)),
        ) from error


def parse_index(payload: bytes, where: Path) -> Index:
    """An index from what an envelope holds."""
    return parse_payload(Index, payload, "update index", where)
