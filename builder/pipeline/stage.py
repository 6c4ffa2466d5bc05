"""Stages: values whose fields are all their inputs, and functions from them to one artifact.

The key of a stage is the SHA-256 of its class, its fields, the code that its class can reach
(`pipeline/code.py`) and the SDK. `run` sees the fields and a `Work`, and nothing else of the build.
"""

from __future__ import annotations

import dataclasses
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import ClassVar, Protocol

from pydantic import BaseModel

from builder.pipeline.artifact import Artifact, Part
from builder.pipeline.checkout import checkout
from builder.pipeline.index import Item
from builder.pipeline.key import Json, digest_bytes, digest_value

Phase = Callable[[str], None]
# a value longer than this is shown as its digest
SHOWN = 64


class Toolchain(Protocol):
    """The SDK as a stage sees it: where its root is, and what names it."""

    @property
    def root(self) -> Path: ...

    @property
    def id(self) -> str: ...


@dataclass(frozen=True)
class Local:
    """Places of this machine that a stage may use and that decide nothing of its output."""

    logs: Path
    failed: Path
    distfiles: Path
    slots: Path
    # Portage's own cache of ebuilds' metadata, checked by MD5
    metadata: Path
    # set when the build is interrupted: what runs is stopped
    cancelled: Callable[[], bool] = lambda: False


class Reader(Protocol):
    """How a stage gets at its artifacts."""

    def path(self, what: Artifact | Part) -> Path: ...

    def index(self, what: Artifact | Part) -> list[Item]: ...


@dataclass(frozen=True)
class Work:
    """What a running stage gets: a place for its output, one for scraps, its inputs, the SDK, a voice."""

    out: Path
    scratch: Path
    sdk: Toolchain
    reader: Reader
    local: Local
    key: str
    phase: Phase

    def path(self, what: Artifact | Part) -> Path:
        """Where an input lies, compared with its digest. Its files are read-only there, whatever their
        true modes are (`modes`)."""
        return self.reader.path(what)

    def modes(self, what: Artifact | Part) -> Mapping[str, int]:
        """The true permission bits of every file and directory of an input, by relative path."""
        return {item.name: item.mode for item in self.reader.index(what)}

    def checkout(self, what: Artifact | Part, target: Path) -> Path:
        """Copy an input to `target`, with its true modes; returns `target`."""
        return checkout(self.path(what), self.reader.index(what), target)


@dataclass(frozen=True)
class Stage(ABC):
    """One step of a build. Subclasses are frozen dataclasses: their fields are the key."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def label(self) -> str:
        """What it works on, for people: sys-libs/zlib-1.3.1."""

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules whose code, with all that they import, is part of the key."""
        return (type(self).__module__,)

    @abstractmethod
    def run(self, work: Work) -> None:
        """Write the artifact into `work.out`."""


def fields(stage: Stage) -> dict[str, Json]:
    """The fields of a stage as JSON."""
    return {field.name: plain(getattr(stage, field.name)) for field in dataclasses.fields(stage)}


def key(stage: Stage, *, code: str, sdk: str) -> str:
    """The key of a stage: its class and fields, the digest of its code, and the SDK's id."""
    return digest_value({"class": class_name(stage), "fields": fields(stage), "code": code, "sdk": sdk})


def class_name(stage: Stage) -> str:
    """The stage's class with its module."""
    return f"{type(stage).__module__}.{type(stage).__qualname__}"


def inputs(stage: Stage, *, code: str, sdk: str) -> dict[str, str]:
    """What a key is made of by dotted name, for people and for `colvert explain`; long values as digests."""
    found = {"code": code, "sdk": sdk}
    for name, text in _flat("", fields(stage)):
        found[name] = text if len(text) <= SHOWN else digest_bytes(text.encode())
    return found


def uses(stage: Stage) -> Iterator[Artifact]:
    """The artifacts that a stage's fields name."""

    def walk(value: object) -> Iterator[Artifact]:
        match value:
            case Artifact():
                yield value
            case Part():
                yield value.artifact
            case Mapping():
                for member in value.values():
                    yield from walk(member)
            case str() | bytes() | BaseModel():
                return
            case Sequence() | AbstractSet():
                for member in value:
                    yield from walk(member)
            case _ if dataclasses.is_dataclass(value):
                for field in dataclasses.fields(value):
                    yield from walk(getattr(value, field.name))

    yield from walk([getattr(stage, field.name) for field in dataclasses.fields(stage)])


def plain(value: object) -> Json:
    """A field's value as JSON. Raises TypeError for what is no data, such as a path of this machine."""
    match value:
        case Artifact():
            return f"{value.kind} {value.digest}"
        case Part():
            return f"{value.name} {value.digest}"
        case Enum():
            return plain(value.value)
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return f"sha256 {digest_bytes(value)}"
        case BaseModel():
            return {name: plain(getattr(value, name)) for name in type(value).model_fields}
        case Mapping():
            return {str(name): plain(member) for name, member in value.items()}
        case AbstractSet():
            return sorted((plain(member) for member in value), key=str)
        case Sequence():
            return [plain(member) for member in value]
        case _ if dataclasses.is_dataclass(value):
            return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise TypeError(f"a stage's field cannot be {type(value).__name__}: it has to be data")


def _flat(name: str, value: Json) -> Iterator[tuple[str, str]]:
    """A JSON value as (dotted name, text); an empty container is a value too."""
    if isinstance(value, Mapping) and value:
        for part, member in value.items():
            yield from _flat(f"{name}.{part}" if name else part, member)
    elif isinstance(value, list) and value:
        for number, member in enumerate(value):
            yield from _flat(f"{name}.{number}", member)
    else:
        yield name, value if isinstance(value, str) else json.dumps(value)
