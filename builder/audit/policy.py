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
    """What is looked for; each has a list of the same name in a policy, but for the last."""

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
        raise ValueError("needs one entry at least")
    return values


# not min_length, which counts only the members without a mistake
SOME = AfterValidator(_some)
Pattern = Annotated[
    str, Field(max_length=200), matches(r"[^/\s]\S*", "a path without the first /, or a pattern")
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
    """Patterns of paths."""
    lacks: Annotated[tuple[Lack, ...], SOME]
    """What they may lack."""
    reason: Reason
    """Why."""


class Unseen(_Allowed):
    """Binaries whose debug symbols are not kept, so that nobody can tell how they were compiled."""

    files: Patterns
    """Patterns of paths."""
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
    """Patterns of paths."""
    mode: Mode
    """The mode that they have."""
    reason: Reason
    """Why."""


class Writable(_Allowed):
    """What everybody may write: files of the image, or what tmpfiles.d makes or changes at boot."""

    files: Patterns
    """Patterns of paths."""
    mode: Mode
    """The mode that they have."""
    reason: Reason
    """Why."""


class Unfound(_Allowed):
    """Libraries that the dynamic linker would not find."""

    files: Patterns
    """Patterns of the paths of what needs them."""
    needs: Words
    """Patterns of sonames."""
    reason: Reason
    """Why."""


class Dangling(_Allowed):
    """Links that lead to nothing in the image."""

    files: Patterns
    """Patterns of the links' paths."""
    to: Words
    """Patterns of where they lead, with the first /."""
    reason: Reason
    """Why."""


class Strange(_Allowed):
    """Files that neither a package nor a rule of the build owns."""

    files: Patterns
    """Patterns of paths."""
    reason: Reason
    """Why."""


class Listening(_Allowed):
    """Sockets that wait for others after the boot."""

    processes: Words
    """Names of the processes that hold them."""
    on: Words
    """PROTOCOL/PORT ADDRESS, such as `tcp/22 *`."""
    reason: Reason
    """Why."""


class Policy(_Allowed):
    """What an image may hold; everything else is a finding."""

    version: Literal["1"] = "1"
    """Version of the policy's form."""
    hardening: tuple[Unhardened, ...] = ()
    """Programs and libraries without some hardening."""
    symbols: tuple[Unseen, ...] = ()
    """Programs and libraries of which nobody can tell how they were compiled."""
    compiled: tuple[Uncompiled, ...] = ()
    """Packages compiled without an option."""
    setuid: tuple[Privileged, ...] = ()
    """Setuid and setgid files."""
    world_writable: tuple[Writable, ...] = ()
    """Paths that everybody may write."""
    libraries: tuple[Unfound, ...] = ()
    """Libraries that are not found."""
    links: tuple[Dangling, ...] = ()
    """Links to nothing."""
    owners: tuple[Strange, ...] = ()
    """Files of nobody."""
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
