"""Differences between two inventories."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from builder.describe.inventory import File, Inventory, Package

V = TypeVar("V")


class Section(StrEnum):
    """Sections of a comparison, in the order of the report."""

    RELEASE = "release"
    SIZES = "sizes"
    PACKAGES = "packages"
    LICENCES = "licences"
    PRIVILEGES = "privileges"
    UNITS = "units"
    SYSCTL = "sysctl"
    COMMAND_LINE = "command line"
    KERNEL = "kernel options"
    FILES = "files"


@dataclass(frozen=True)
class Change:
    """One difference: what it was and what it is; None is not there."""

    name: str
    before: str | None
    after: str | None

    @property
    def kind(self) -> str:
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"


@dataclass(frozen=True)
class Difference:
    """Everything in which two releases differ, by section; sections without a difference are left out."""

    before: str
    after: str
    sections: Mapping[Section, tuple[Change, ...]] = field(default_factory=dict)


def compare(a: Inventory, b: Inventory) -> Difference:
    """The differences from `a` to `b`."""
    views: Mapping[Section, Callable[[Inventory], Mapping[str, str]]] = {
        Section.RELEASE: lambda one: {"id": one.id, "version": one.version, "kernel": one.kernel.release},
        Section.PRIVILEGES: lambda one: _privileges(one.files),
        Section.UNITS: lambda one: one.units,
        Section.SYSCTL: lambda one: one.sysctl,
        Section.KERNEL: lambda one: one.kernel.options,
    }
    found = {section: _changes(view(a), view(b)) for section, view in views.items()}
    # only what both know can differ
    common = a.sizes.keys() & b.sizes.keys()
    found[Section.SIZES] = _changes(_sizes(a, common), _sizes(b, common))
    found[Section.PACKAGES] = tuple(_packages(a.packages, b.packages))
    found[Section.LICENCES] = tuple(_licences(a, b))
    if a.kernel.command_line and b.kernel.command_line:
        found[Section.COMMAND_LINE] = tuple(_words(a.kernel.command_line, b.kernel.command_line))
    found[Section.FILES] = tuple(_files(a.files, b.files))
    told = {section: found[section] for section in Section if found.get(section)}
    return Difference(f"{a.id} {a.version}", f"{b.id} {b.version}", told)


def _changes(a: Mapping[str, str], b: Mapping[str, str]) -> tuple[Change, ...]:
    return tuple(
        Change(name, a.get(name), b.get(name))
        for name in sorted(a.keys() | b.keys())
        if a.get(name) != b.get(name)
    )


def _sizes(one: Inventory, names: set[str]) -> dict[str, str]:
    return {name: str(one.sizes[name]) for name in names}


def _packages(a: Mapping[str, Package], b: Mapping[str, Package]) -> Iterator[Change]:
    for name in sorted(a.keys() | b.keys()):
        old, new = a.get(name), b.get(name)
        if old is None or new is None:
            yield Change(name, old.version if old else None, new.version if new else None)
            continue
        if old.version != new.version:
            yield Change(name, old.version, new.version)
        if old.slot != new.slot:
            yield Change(f"{name} slot", old.slot, new.slot)
        if old.use is not None and new.use is not None and old.use != new.use:
            yield Change(f"{name} USE", *_only(old.use, new.use))


def _only(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, str]:
    """What either has alone."""
    return " ".join(w for w in old if w not in new), " ".join(w for w in new if w not in old)


def _licences(a: Inventory, b: Inventory) -> Iterator[Change]:
    """Licences that come or go, and those that other packages are under now."""
    old, new = _under(a), _under(b)
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            yield Change(name, None, " ".join(new[name]))
        elif name not in new:
            yield Change(name, " ".join(old[name]), None)
        elif old[name] != new[name]:
            yield Change(name, *_only(old[name], new[name]))


def _under(one: Inventory) -> dict[str, tuple[str, ...]]:
    """Licence -> the packages that are under it."""
    found: dict[str, tuple[str, ...]] = {}
    for name, package in sorted(one.packages.items()):
        for licence in package.licences:
            found[licence] = (*found.get(licence, ()), name)
    return found


def _privileges(files: Mapping[str, File]) -> dict[str, str]:
    """Path -> its mode, where that is setuid or setgid."""
    return {name: file.mode for name, file in files.items() if int(file.mode, 8) & 0o6000}


def _words(a: tuple[str, ...], b: tuple[str, ...]) -> Iterator[Change]:
    gone, come = [w for w in a if w not in b], [w for w in b if w not in a]
    yield from (Change(word, word, None) for word in gone)
    yield from (Change(word, None, word) for word in come)
    if not gone and not come and a != b:
        yield Change("order", " ".join(a), " ".join(b))


def _files(a: Mapping[str, File], b: Mapping[str, File]) -> Iterator[Change]:
    for name in sorted(a.keys() | b.keys()):
        old, new = a.get(name), b.get(name)
        if old != new:
            yield Change(name, _told(old, new), _told(new, old))


def _told(one: File | None, other: File | None) -> str | None:
    """A file in the words in which it differs from the other; all of them where there is no other."""
    if one is None:
        return None
    facts = _facts(one)
    if other is None:
        return " ".join(value for value in facts.values() if value)
    theirs = _facts(other)
    words = [value or "none" for name, value in facts.items() if value != theirs[name]]
    return " ".join(words) or f"{one.size} sha256:{one.digest[:12]}"


def _facts(one: File) -> dict[str, str]:
    return {
        "type": one.type,
        "mode": one.mode,
        "size": str(one.size) if one.type == "file" else "",
        "owner": one.owner,
        "to": one.digest if one.type == "link" else "",
    }
