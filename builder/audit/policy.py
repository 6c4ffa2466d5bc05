"""Audit policy: the exceptions that an image may have, each with a reason.

A policy is a file beside the manifest, read by the manifest's own reader: it may include others,
add to their lists and remove from them, and every mistake in it is reported with its position.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from builder.errors import Location
from builder.formats.hardening import Lack
from builder.manifest.fields import Text, matches
from builder.manifest.layers import Layers
from builder.manifest.load import place
from builder.manifest.marks import NULLS, Items, Mark, Source, Table, Value
from builder.manifest.merge import merge
from builder.manifest.problems import Loc, Problems, explain

T = TypeVar("T")


class Check(StrEnum):
    """Checks; each has a list of the same name in a policy, except the last."""

    HARDENING = "hardening"
    SYMBOLS = "symbols"
    COMPILED = "compiled"
    SETUID = "setuid"
    WRITABLE = "world_writable"
    LIBRARIES = "libraries"
    LINKS = "links"
    OWNERS = "owners"
    SOCKETS = "sockets"
    STALE = "stale"


class Flag(StrEnum):
    """The compiler's options that every file of C and C++ is compiled with."""

    PROTECTOR = "-fstack-protector-strong"
    CLASH = "-fstack-clash-protection"
    CET = "-fcf-protection=full"


def _some(values: tuple[T, ...]) -> tuple[T, ...]:
    if not values:
        raise ValueError("requires at least one entry")
    return values


# not min_length, which counts only the members without a mistake
SOME = AfterValidator(_some)
Pattern = Annotated[
    str, Field(max_length=200), matches(r"[^/\s]\S*", "a path without the leading /, or a pattern")
]
Patterns = Annotated[tuple[Pattern, ...], SOME]
Word = Annotated[str, Field(max_length=200), matches(r"\S+( \S+)*", "a word or a pattern")]
Words = Annotated[tuple[Word, ...], SOME]
Reason = Annotated[str, Field(max_length=400), matches(r"\S.{7,}", "a reason (8 characters at least)")]
Mode = Annotated[str, matches(r"[0-7]{4}", "an octal mode of four digits, such as 4755")]


class _Allowed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Unhardened(_Allowed):
    """Binaries that lack hardening."""

    files: Patterns
    """Path patterns."""
    lacks: Annotated[tuple[Lack, ...], SOME]
    """Hardening features that may be missing."""
    reason: Reason
    """Why."""


class Unseen(_Allowed):
    """Binaries without debug symbols, whose compiler options cannot be checked."""

    files: Patterns
    """Path patterns."""
    reason: Reason
    """Why."""


class Uncompiled(_Allowed):
    """Packages with files that were compiled without an option."""

    packages: Words
    """Patterns of category/name-version."""
    lacks: Annotated[tuple[Flag, ...], SOME]
    """Options that may be missing."""
    reason: Reason
    """Why."""


class Privileged(_Allowed):
    """Setuid and setgid files."""

    files: Patterns
    """Path patterns."""
    mode: Mode
    """Their mode."""
    reason: Reason
    """Why."""


class Writable(_Allowed):
    """World-writable paths: in the image, or created by tmpfiles.d at boot."""

    files: Patterns
    """Path patterns."""
    mode: Mode
    """Their mode."""
    reason: Reason
    """Why."""


class Unfound(_Allowed):
    """Libraries that the dynamic linker would not find."""

    files: Patterns
    """Path patterns of the programs that need the libraries."""
    needs: Words
    """Soname patterns."""
    reason: Reason
    """Why."""


class Dangling(_Allowed):
    """Links that lead to nothing in the image."""

    files: Patterns
    """Path patterns of the links."""
    to: Words
    """Patterns of the link targets, with the leading /."""
    reason: Reason
    """Why."""


class Strange(_Allowed):
    """Files that neither a package nor a rule of the build owns."""

    files: Patterns
    """Path patterns."""
    reason: Reason
    """Why."""


class Listening(_Allowed):
    """Sockets that wait for others after the boot."""

    processes: Words
    """Names of the listening processes."""
    on: Words
    """PROTOCOL/PORT ADDRESS, such as `tcp/22 *`."""
    reason: Reason
    """Why."""


class Policy(_Allowed):
    """Allowed results of the checks; all others are findings."""

    version: Literal["1"] = "1"
    """Version of the policy format."""
    hardening: tuple[Unhardened, ...] = ()
    """Programs and libraries with a hardening feature missing."""
    symbols: tuple[Unseen, ...] = ()
    """Programs and libraries without debug symbols."""
    compiled: tuple[Uncompiled, ...] = ()
    """Packages compiled without a required option."""
    setuid: tuple[Privileged, ...] = ()
    """Setuid and setgid files."""
    world_writable: tuple[Writable, ...] = ()
    """World-writable paths."""
    libraries: tuple[Unfound, ...] = ()
    """Missing libraries."""
    links: tuple[Dangling, ...] = ()
    """Dangling symbolic links."""
    owners: tuple[Strange, ...] = ()
    """Files without an owner."""
    sockets: tuple[Listening, ...] = ()
    """Listening sockets."""


# check -> (key of what it is about, key of what is the matter with it, the latter is a list)
KEYS: Mapping[Check, tuple[str, str, bool]] = {
    Check.HARDENING: ("files", "lacks", True),
    Check.SYMBOLS: ("files", "", False),
    Check.COMPILED: ("packages", "lacks", True),
    Check.SETUID: ("files", "mode", False),
    Check.WRITABLE: ("files", "mode", False),
    Check.LIBRARIES: ("files", "needs", True),
    Check.LINKS: ("files", "to", True),
    Check.OWNERS: ("files", "", False),
    Check.SOCKETS: ("processes", "on", True),
}


@dataclass(frozen=True)
class Allowance:
    """One pattern of one line of a policy, with one thing that it allows."""

    check: Check
    subject: str
    detail: str
    reason: str
    where: Location

    def allows(self, check: Check, subject: str, detail: str) -> bool:
        return check is self.check and fnmatchcase(subject, self.subject) and fnmatchcase(detail, self.detail)


@dataclass(frozen=True)
class LoadedPolicy:
    """A checked policy, taken apart into what it allows, each with its place."""

    policy: Policy
    allowances: tuple[Allowance, ...]


def load_policy(path: Path) -> LoadedPolicy:
    """Read a policy with all that it includes; every mistake is one ColvertError with its place."""
    problems = Problems()
    tree: Value = Table({}, Mark(Source(str(path), Path.cwd())))
    for layer in Layers(problems).read(path):
        tree = merge(tree, layer, problems)
    policy = None
    if isinstance(tree, Table) and not problems.broken:
        policy = _validate(tree, problems)
    problems.raise_any()
    assert policy is not None and isinstance(tree, Table)
    return LoadedPolicy(policy, tuple(_taken_apart(policy, tree)))


def _validate(tree: Table, problems: Problems) -> Policy | None:
    try:
        return Policy.model_validate(_data(tree))
    except ValidationError as error:

        def where(loc: Loc, of_key: bool) -> Location:
            return place(tree, loc, of_key)[0]

        explain(error.errors(include_url=False), Policy, where, problems, more_keys=("include",))
    return None


def _data(value: Value) -> object:
    if isinstance(value, Table):
        return {key: _data(entry.value) for key, entry in value.entries.items()}
    if isinstance(value, Items):
        return [_data(member) for member in value.members]
    return None if value.text is None else Text(value.text, value.mark.source.directory)


def _taken_apart(policy: Policy, tree: Table) -> list[Allowance]:
    found = []
    for check, (subjects, details, many) in KEYS.items():
        for number, entry in enumerate(getattr(policy, check)):
            where = place(tree, (check.value, number), False)[0]
            given = getattr(entry, details) if details else ""
            for subject in getattr(entry, subjects):
                for detail in given if many else (given,):
                    found.append(Allowance(check, subject, str(detail), entry.reason, where))
    return found


def line_for(check: Check, subject: str, detail: str) -> str:
    """The line of a policy that would allow one finding; the reason is for people to write."""
    subjects, details, many = KEYS[check]
    words = [f"{subjects}: [{_quoted(subject)}]"]
    if details:
        words.append(f"{details}: [{_quoted(detail)}]" if many else f"{details}: {_quoted(detail)}")
    return f"{check}: - {{{', '.join(words)}, reason: …}}"


def _quoted(text: str) -> str:
    """A pattern that matches the text and nothing else, as YAML in flow style takes it."""
    exact = "".join(f"[{sign}]" if sign in "*?[" else sign for sign in text)
    plain = all(sign.isalnum() or sign in "/._+@-" for sign in exact) and exact[0].isalnum()
    if plain and not exact.isdigit() and exact not in NULLS:
        return exact
    escaped = exact.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
