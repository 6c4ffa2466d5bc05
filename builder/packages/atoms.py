"""Package names, versions and atoms: their grammar, their order, and the package that an atom means.

Package Manager Specification: names 3.1, versions 3.2, their order 3.3, atoms 8.2.6. The repository
behind `::` is Portage's addition. What `~` and `=...*` match is as Portage has it, which resolves them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeVar

from builder.errors import Code, ColvertError

_VERSION = (
    r"(?P<numbers>[0-9]+(?:\.[0-9]+)*)(?P<letter>[a-z]?)"
    r"(?P<suffixes>(?:_(?:alpha|beta|pre|rc|p)[0-9]*)*)(?:-r(?P<revision>[0-9]+))?"
)
_BARE_VERSION = re.sub(r"\?P<\w+>", "?:", _VERSION)
_PACKAGE = r"(?P<category>[A-Za-z0-9_][A-Za-z0-9+_.-]*)/(?P<name>[A-Za-z0-9_][A-Za-z0-9+_-]*?)"
_SLOT = r"[A-Za-z0-9_][A-Za-z0-9+_.-]*"
_VERSION_FORM = re.compile(_VERSION)
_SUFFIX_FORM = re.compile(r"_([a-z]+)([0-9]*)")
_CPV_FORM = re.compile(rf"{_PACKAGE}-(?P<version>{_BARE_VERSION})")
_ATOM_FORM = re.compile(
    rf"(?P<operator>[<>]=?|[=~])?{_PACKAGE}(?:-(?P<version>{_BARE_VERSION})(?P<prefix>\*)?)?"
    rf"(?::(?P<slot>{_SLOT})(?:/(?P<subslot>{_SLOT}))?)?(?:::(?P<repository>[A-Za-z0-9_][A-Za-z0-9_-]*))?"
)
# what a name must not end in: the rest would not tell where the version begins
_VERSION_END = re.compile(rf"-{_BARE_VERSION}$")
_SUFFIX_RANK = {"alpha": -4, "beta": -3, "pre": -2, "rc": -1, "p": 0}


# length and digits: it compares as the number does, and int() refuses more than 4300 digits
Number = tuple[int, str]


class Operator(StrEnum):
    """The operator before an atom's version; PREFIX is `=` with a trailing asterisk."""

    LESS = "<"
    AT_MOST = "<="
    EQUAL = "="
    PREFIX = "=*"
    ANY_REVISION = "~"
    AT_LEAST = ">="
    MORE = ">"


@dataclass(frozen=True, order=True)
class Version:
    """A version; its fields are what is compared, in this order."""

    first: Number
    rest: tuple[tuple[int, Number], ...]
    letter: str
    suffixes: tuple[tuple[int, Number], ...]
    revision: Number
    text: str = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> Version:
        match = _VERSION_FORM.fullmatch(text)
        if match is None:
            raise _malformed(text, "a version, such as 1.2.3_rc1-r2")
        first, *rest = match["numbers"].split(".")
        suffixes = [
            (_SUFFIX_RANK[name], _number(digits)) for name, digits in _SUFFIX_FORM.findall(match["suffixes"])
        ]
        # the end of the suffixes is more than any before a release, and less than _p0
        end = (_SUFFIX_RANK["p"], (-1, ""))
        return cls(
            _number(first),
            tuple(map(_component, rest)),
            match["letter"],
            (*suffixes, end),
            _number(match["revision"] or ""),
            text,
        )

    @property
    def without_revision(self) -> str:
        return self.text.partition("-r")[0]

    def begins_with(self, other: Version) -> bool:
        """Whether `=NAME-OTHER*` means it: the same text up to the end of one of its parts."""
        text, begin = _without_zeros(self.text), _without_zeros(other.text)
        after = text[len(begin) : len(begin) + 1]
        whole = not after or after in "._-" or after.isdigit() != begin[-1].isdigit()
        return text.startswith(begin) and whole

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Cpv:
    """One version of one package: category/name-version."""

    category: str
    name: str
    version: Version

    @classmethod
    def parse(cls, text: str) -> Cpv:
        match = _CPV_FORM.fullmatch(text)
        if match is None or _VERSION_END.search(match["name"]):
            raise _malformed(text, "a package and its version, such as app-shells/bash-5.2_p37")
        return cls(match["category"], match["name"], Version.parse(match["version"]))

    @property
    def package(self) -> str:
        return f"{self.category}/{self.name}"

    def __str__(self) -> str:
        return f"{self.package}-{self.version}"


@dataclass(frozen=True)
class Atom:
    """A package, or those of its versions, slots and repositories that are meant."""

    category: str
    name: str
    operator: Operator | None = None
    version: Version | None = None
    slot: str = ""
    subslot: str = ""
    repository: str = ""

    @classmethod
    def parse(cls, text: str) -> Atom:
        match = _ATOM_FORM.fullmatch(text)
        if match is None or _VERSION_END.search(match["name"]):
            raise _malformed(text, "a package atom, such as app-shells/bash or >=app-arch/zstd-1.5")
        operator, version = match["operator"], match["version"]
        if bool(operator) != bool(version):
            raise _malformed(text, "a package atom: an operator and a version require each other")
        if match["prefix"] and operator != "=":
            raise _malformed(text, f"a package atom: the asterisk requires =, not {operator}")
        return cls(
            match["category"],
            match["name"],
            Operator(operator + (match["prefix"] or "")) if operator else None,
            Version.parse(version) if version else None,
            match["slot"] or "",
            match["subslot"] or "",
            match["repository"] or "",
        )

    @property
    def package(self) -> str:
        return f"{self.category}/{self.name}"

    def matches(self, cpv: Cpv, slot: str, repository: str) -> bool:
        """Whether a package is meant; its slot is SLOT or SLOT/SUBSLOT."""
        name, _, subslot = slot.partition("/")
        return (
            self.package == cpv.package
            and self._compares(cpv.version)
            and self.slot in ("", name)
            and self.subslot in ("", subslot or name)
            and self.repository in ("", repository)
        )

    def _compares(self, version: Version) -> bool:
        if self.version is None:
            return True
        match self.operator:
            case Operator.LESS:
                return version < self.version
            case Operator.AT_MOST:
                return version <= self.version
            case Operator.AT_LEAST:
                return version >= self.version
            case Operator.MORE:
                return version > self.version
            case Operator.ANY_REVISION:
                return version.without_revision == self.version.without_revision
            case Operator.PREFIX:
                return version.begins_with(self.version)
        return version == self.version

    def __str__(self) -> str:
        operator = (self.operator or "").rstrip("*")
        version = f"-{self.version}" if self.version else ""
        end = "*" if self.operator is Operator.PREFIX else ""
        slot = f":{self.slot}" if self.slot else ""
        slot += f"/{self.subslot}" if self.subslot else ""
        return f"{operator}{self.package}{version}{end}{slot}" + (
            f"::{self.repository}" if self.repository else ""
        )


class Package(Protocol):
    """The attributes that an atom matches; a node of a plan has them."""

    @property
    def cpv(self) -> str: ...
    @property
    def slot(self) -> str: ...
    @property
    def repository(self) -> str: ...


P = TypeVar("P", bound=Package)


def meant(atom: Atom, packages: Iterable[P]) -> P | None:
    """The package that an atom means: of those that it matches the newest, as Portage chooses."""
    found = [(Cpv.parse(one.cpv), one) for one in packages]
    hits = [(cpv.version, one) for cpv, one in found if atom.matches(cpv, one.slot, one.repository)]
    return max(hits, key=lambda hit: hit[0])[1] if hits else None


def _number(digits: str) -> Number:
    """A whole number; none is 0."""
    plain = digits.lstrip("0")
    return len(plain), plain


def _component(digits: str) -> tuple[int, Number]:
    """A number after the first: with a leading zero it is a fraction, and less than all without."""
    return (0, (0, digits.rstrip("0"))) if digits.startswith("0") else (1, _number(digits))


def _without_zeros(text: str) -> str:
    return re.sub(r"^0+(?=[0-9])", "", text)


def _malformed(text: str, what: str) -> ColvertError:
    return ColvertError(Code.UNKNOWN_PACKAGE, f"{text!r} is not {what}")
