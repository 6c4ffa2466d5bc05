"""Provenance of a release: an in-toto statement with SLSA's predicate.

docs/reference/provenance.md is the definition of this build type. No time of a clock is in it and
no path of a machine: equal inputs give the same bytes.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from builder.pipeline.key import Json, digest_value

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
BUILD_TYPE = "urn:colvert:build:image:v1"
BUILDER = "urn:colvert:builder:local"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "provenance.colvert")


@dataclass(frozen=True)
class Material:
    """Something that the build was made from (in-toto's ResourceDescriptor)."""

    name: str
    digests: Mapping[str, str]
    uri: str | None = None
    annotations: Mapping[str, Json] = field(default_factory=dict)

    def described(self) -> dict[str, Json]:
        said: dict[str, Json] = {
            "name": self.name,
            "uri": self.uri,
            "digest": dict(self.digests),
            "annotations": dict(self.annotations),
        }
        return {key: value for key, value in said.items() if value}


@dataclass(frozen=True)
class Build:
    """Parameters, environment and materials of a build."""

    external: Mapping[str, Json]
    internal: Mapping[str, Json]
    materials: Sequence[Material]
    versions: Mapping[str, str]


def _named(definition: Mapping[str, Json], build: Build) -> str:
    """What an invocation is known by: the build and the toolchain."""
    return digest_value({"definition": dict(definition), "versions": dict(build.versions)})


def make_statement(build: Build, subjects: Mapping[str, str]) -> bytes:
    """The statement about `subjects` (name -> SHA-256), as the bytes that are signed."""
    definition: dict[str, Json] = {
        "buildType": BUILD_TYPE,
        "externalParameters": dict(build.external),
        "internalParameters": dict(build.internal),
        "resolvedDependencies": [material.described() for material in build.materials],
    }
    details: dict[str, Json] = {
        "builder": {"id": BUILDER, "version": dict(build.versions)},
        # the same build is the same invocation, whoever runs it
        "metadata": {"invocationId": f"urn:uuid:{uuid.uuid5(NAMESPACE, _named(definition, build))}"},
    }
    statement: dict[str, Json] = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": subjects[name]}} for name in sorted(subjects)],
        "predicateType": PREDICATE,
        "predicate": {"buildDefinition": definition, "runDetails": details},
    }
    return (json.dumps(statement, indent=1, ensure_ascii=False) + "\n").encode()
