"""Provenance statements as signer and verifier read them: builder, subjects, files.

docs/reference/provenance.md is the definition. Fields that are not read here are allowed:
in-toto has more of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from builder.updates.index import Digest, Word, parse_payload


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class _Digests(_Model):
    sha256: Digest


class Subject(_Model):
    """One file."""

    name: Annotated[str, Field(max_length=4096)]
    digest: _Digests


class _Settings(_Model):
    id: Word


class _External(_Model):
    settings: _Settings


class _Internal(_Model):
    version: str


class _Definition(_Model):
    build_type: Annotated[Literal["urn:colvert:build:image:v1"], Field(alias="buildType")]
    external: Annotated[_External, Field(alias="externalParameters")]
    internal: Annotated[_Internal, Field(alias="internalParameters")]


class _Predicate(_Model):
    definition: Annotated[_Definition, Field(alias="buildDefinition")]


class Statement(_Model):
    """Provenance statement of a build."""

    type: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    predicate_type: Annotated[Literal["https://slsa.dev/provenance/v1"], Field(alias="predicateType")]
    subject: Annotated[list[Subject], Field(min_length=1, max_length=10000)]
    predicate: _Predicate

    @field_validator("subject")
    @classmethod
    def _one_each(cls, subject: list[Subject]) -> list[Subject]:
        if len({one.name for one in subject}) != len(subject):
            raise ValueError("duplicate subject name")
        return subject

    @property
    def image_id(self) -> str:
        return self.predicate.definition.external.settings.id

    @property
    def version(self) -> str:
        return self.predicate.definition.internal.version


def parse_statement(payload: bytes, where: Path) -> Statement:
    """A statement from what an envelope holds."""
    return parse_payload(Statement, payload, "provenance statement", where)
