"""YAML as a tree in which every value has its file, line and column.

PyYAML scans, parses and composes; its constructors are left out on purpose. A plain scalar
stays the text that was written (`1.10` is no number, `no` is no boolean): only the model
knows what a key wants. Limits hold here, before anything is expanded: size, depth, number
of values (aliases count as often as they are used), and characters that no key needs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.scanner import Scanner

from builder.errors import Code, Location
from builder.manifest.problems import Problems
from builder.texts import nearest, quote

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_VALUES = 20_000

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\ud800-\udfff\ufffe\uffff]")
_STANDARD = "tag:yaml.org,2002:"


class Tag(StrEnum):
    """Effect of a value on the inherited one."""

    NONE = ""
    REPLACE = "!replace"
    REMOVE = "!remove"


@dataclass(frozen=True)
class Source:
    """A manifest file: its name in messages, and the directory that its paths start from."""

    name: str
    directory: Path


@dataclass(frozen=True)
class Mark:
    """Where a key or value was written."""

    source: Source
    line: int = 0
    column: int = 0

    @property
    def location(self) -> Location:
        return Location(self.source.name, self.line, self.column)


@dataclass(frozen=True)
class Scalar:
    """Text as written, or None for an empty value."""

    text: str | None
    mark: Mark
    tag: Tag = Tag.NONE


@dataclass(frozen=True)
class Items:
    """A list."""

    members: tuple[Value, ...]
    mark: Mark
    tag: Tag = Tag.NONE


@dataclass(frozen=True)
class Entry:
    """One key of a mapping: where the key stands, and its value."""

    mark: Mark
    value: Value


@dataclass(frozen=True)
class Table:
    """A mapping, in the order written."""

    entries: Mapping[str, Entry] = field(hash=False)
    mark: Mark
    tag: Tag = Tag.NONE


Value = Scalar | Items | Table


def decode(data: bytes, source: Source, problems: Problems) -> str | None:
    """The text of a file's bytes, or None after telling what they are instead."""
    whole = Location(source.name)
    if len(data) > MAX_BYTES:
        problems.fatal(Code.MANIFEST_SYNTAX, f"the manifest is larger than {MAX_BYTES >> 20} MiB", whole)
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        where = Location(source.name, line, column)
        problems.fatal(Code.MANIFEST_SYNTAX, "the text is not UTF-8", where, hint="save the file as UTF-8")
        return None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        problems.fatal(Code.MANIFEST_SYNTAX, "a binary file, not a manifest", Location(source.name, line, 1))
        return None
    return text


def compose(text: str, source: Source, problems: Problems) -> Value | None:
    """The value tree of a YAML text; None when the text is empty or broken (then reported)."""
    try:
        node = _Loader(text).get_single_node()
    except _TooMuch as error:
        problems.fatal(Code.MANIFEST_SYNTAX, error.what, _mark(source, error.mark).location)
        return None
    except ReaderError as error:
        before = text[: error.position]
        where = Location(source.name, before.count("\n") + 1, len(before) - before.rfind("\n"))
        problems.fatal(Code.MANIFEST_SYNTAX, "control characters are not allowed in YAML", where)
        return None
    except yaml.MarkedYAMLError as error:
        _syntax(error, source, problems)
        return None
    except (yaml.YAMLError, ValueError, OverflowError, LookupError, RecursionError):
        # PyYAML lets some of Python's own errors through (`"\UFFFFFFFF"`, `%YAML 1.x`)
        problems.fatal(Code.MANIFEST_SYNTAX, "the text is not valid YAML", Location(source.name))
        return None
    if node is None:
        return None
    try:
        return _Reading(source, problems).value(node, 0)
    except _TooMuch as error:
        problems.fatal(Code.MANIFEST_SYNTAX, error.what, _mark(source, error.mark).location)
        return None


def _syntax(error: yaml.MarkedYAMLError, source: Source, problems: Problems) -> None:
    mark = error.problem_mark or error.context_mark
    where = _mark(source, mark).location if mark else Location(source.name)
    problem = (error.problem or error.context or "not valid YAML").removesuffix(".")
    hint = "indent with spaces" if "'\\t'" in problem else ""
    if problem.startswith("expected chomping or indentation"):
        hint = 'put quotes around a value that starts with > or |, such as ">=dev-libs/openssl-3.5"'
    elif problem.startswith("expected ',' or ']'"):
        hint = 'close the list with ], and put quotes around a member that starts with !, such as "!a/b"'
    elif problem == "but found another document":
        problem, hint = (
            "a second document begins here",
            "remove the line ---, and write one manifest into a file",
        )
    elif error.context in ("while scanning an alias", "while scanning an anchor", "while scanning a tag") or (
        error.context == "while scanning for the next token"
    ):
        hint = 'put quotes around a value that starts with !, *, &, @ or `, such as "*/*"'
    problems.fatal(Code.MANIFEST_SYNTAX, problem, where, hint=hint)


def _mark(source: Source, mark: yaml.Mark) -> Mark:
    return Mark(source, mark.line + 1, mark.column + 1)


class _TooMuch(Exception):
    def __init__(self, what: str, mark: yaml.Mark) -> None:
        super().__init__(what)
        self.what = what
        self.mark = mark


class _Count:
    """Stops what nests too deep or holds too much, before it costs time or memory."""

    def __init__(self) -> None:
        self.values = 0

    def check(self, depth: int, mark: yaml.Mark) -> None:
        self.values += 1
        if depth > MAX_DEPTH:
            raise _TooMuch(f"nested deeper than {MAX_DEPTH} levels", mark)
        if self.values > MAX_VALUES:
            raise _TooMuch(f"more than {MAX_VALUES} values (aliases count each time)", mark)


class _Loader(Reader, Scanner, Parser, Composer):
    """PyYAML up to the node tree: tags are only those written, nothing is constructed."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        self._depth = 0
        self._count = _Count()

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        self._depth += 1
        self._count.check(self._depth, self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        node: yaml.Node | None = super().compose_node(parent, index)  # type: ignore[arg-type]
        self._depth -= 1
        return node

    def descend_resolver(self, current_node: object, current_index: object) -> None:
        """Composer's hook for path resolvers, of which there are none."""

    def ascend_resolver(self) -> None:
        """As above."""

    def resolve(self, kind: type[yaml.Node], value: object, implicit: object) -> str:
        """The tag of a value without one: says for a scalar whether it was plain."""
        plain = kind is yaml.ScalarNode and isinstance(implicit, tuple) and bool(implicit[0])
        return "plain" if plain else ""


class _Reading:
    """Turns PyYAML's nodes into values, telling every mistake and going on."""

    def __init__(self, source: Source, problems: Problems) -> None:
        self.source = source
        self.problems = problems
        self.count = _Count()

    def value(self, node: yaml.Node, depth: int) -> Value:
        self.count.check(depth, node.start_mark)
        mark = _mark(self.source, node.start_mark)
        tag = self._tag(node, mark)
        if isinstance(node, yaml.ScalarNode):
            null = node.value in NULLS if node.tag == "plain" else node.value == "" and tag is not Tag.NONE
            return Scalar(None if null else self._text(node, mark), mark, tag)
        if isinstance(node, yaml.SequenceNode):
            return Items(tuple(self.value(member, depth + 1) for member in node.value), mark, tag)
        return Table(self._entries(node, depth), mark, tag)

    def _tag(self, node: yaml.Node, mark: Mark) -> Tag:
        if node.tag in ("", "plain") or node.tag.startswith(_STANDARD + "str"):
            return Tag.NONE
        if node.tag in (Tag.REPLACE, Tag.REMOVE):
            return Tag(node.tag)
        name = node.tag.replace(_STANDARD, "!!")
        near = nearest(name, (Tag.REPLACE, Tag.REMOVE))
        hint = "" if near else f"put quotes around the value: {quote(name)}"
        what = f"unknown tag {quote(name)}{near}"
        self.problems.add(Code.MANIFEST_SYNTAX, what, mark.location, hint=hint)
        return Tag.NONE

    def _text(self, node: yaml.ScalarNode, mark: Mark) -> str:
        text = str(node.value)
        if found := _FORBIDDEN.search(text):
            what = f"invalid character U+{ord(found[0]):04X}"
            self.problems.add(Code.MANIFEST_SYNTAX, what, mark.location)
            return _FORBIDDEN.sub("?", text)
        return text

    def _entries(self, node: yaml.Node, depth: int) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            mark = _mark(self.source, key_node.start_mark)
            value = self.value(value_node, depth + 1)
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.add(Code.MANIFEST_SYNTAX, "a key must be a single word", mark.location)
                continue
            key = self._text(key_node, mark)
            if key in entries:
                first = entries[key].mark
                what = f"duplicate key {quote(key)} (first in line {first.line})"
                self.problems.add(Code.MANIFEST_SYNTAX, what, mark.location, hint="remove one of them")
                continue
            entries[key] = Entry(mark, value)
        return entries
