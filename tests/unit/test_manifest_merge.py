"""Merge rules: what a later file does to an earlier one."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import ColvertError
from builder.manifest.marks import Source, Value, compose
from builder.manifest.merge import merge, plain
from builder.manifest.problems import Problems


def merged(old: str, new: str) -> object:
    problems = Problems()
    tree: Value | None = None
    for name, text in (("old", old), ("new", new)):
        layer = compose(text, Source(name, Path()), problems)
        assert layer is not None
        tree = merge(tree, layer, problems)
    problems.raise_any()
    assert tree is not None
    return dict(plain(tree))  # type: ignore[call-overload]


def words(*given: str, key: str = "command_line") -> dict[str, object]:
    return {"kernel": ((key, given),)}


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [
        # mappings merge deeply, scalars replace
        ("{a: {b: 1, c: 2}}", "{a: {c: 3, d: 4}}", {"a": (("b", "1"), ("c", "3"), ("d", "4"))}),
        ("{a: 1}", "{a: null}", {"a": None}),
        # lists append what is new
        ("{a: [x, y]}", "{a: [y, z, z]}", {"a": ("x", "y", "z")}),
        ("{a: [x]}", "{a: }", {"a": ("x",)}),
        # another kind takes the place (the model decides whether it may)
        ("{a: [x]}", "{a: {b: 1}}", {"a": (("b", "1"),)}),
        ("{a: [x, y]}", "{a: !replace [y]}", {"a": ("y",)}),
        ("{a: {b: 1}}", "{a: !replace {c: 2}}", {"a": (("c", "2"),)}),
        ("{a: [x, y, z]}", "{a: !remove [x, z]}", {"a": ("y",)}),
        ("{a: [x, y]}", "{a: [!remove x, w]}", {"a": ("y", "w")}),
        ("{a: 1, b: 2}", "{a: !remove }", {"b": "2"}),
        # the flag is decided anew, in its place
        ("{use: {p/q: [x, y]}}", "{use: {p/q: [-x]}}", {"use": (("p/q", ("-x", "y")),)}),
        # members that are mappings are known by their path or name
        (
            "{files: [{path: /usr/a, content: 1}, {path: /usr/b, content: 2}]}",
            "{files: [{path: /usr/a, content: 3}]}",
            {"files": ((("content", "3"), ("path", "/usr/a")), (("content", "2"), ("path", "/usr/b")))},
        ),
        (
            "{users: [{name: a, id: 1}, {name: b, id: 2}]}",
            "{users: [!remove {name: a}]}",
            {"users": ((("id", "2"), ("name", "b")),)},
        ),
        # words of a command line have their effect where they stand, and as often as they stand there
        (
            "{kernel: {command_line: [a, b]}}",
            "{kernel: {command_line: [a, c, a]}}",
            words("a", "b", "a", "c", "a"),
        ),
        ("{kernel: {command_line: [a, b, a]}}", "{kernel: {command_line: [!remove a]}}", words("b")),
        ("{kernel: {command_line: [a, b]}}", "{kernel: {command_line: [!remove a, a]}}", words("b", "a")),
        ("{kernel: {command_line: [a, a]}}", "{kernel: {command_line: !replace [b, b]}}", words("b", "b")),
        ("{}", "{kernel: {command_line: [a, b, a]}}", words("a", "b", "a")),
        (
            "{kernel: {fragments: [a, b]}}",
            "{kernel: {fragments: [a]}}",
            words("a", "b", "a", key="fragments"),
        ),
        # the locale asked for last is the default
        ("{locales: [c]}", "{locales: [f, c, d]}", {"locales": ("f", "c", "d")}),
        ("{locales: [c, f]}", "{locales: [f]}", {"locales": ("f", "c")}),
        ("{locales: [c, d]}", "{locales: [f, !remove c]}", {"locales": ("f", "d")}),
    ],
)
def test_rules(old: str, new: str, result: dict[str, object]) -> None:
    assert merged(old, new) == result


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("{a: [xylophone]}", "{a: [!remove xylofone]}", "new:1:6"),
        ("{abc: 1}", "{abd: !remove }", "new:1:7"),
        ("{a: 1}", "{a: !remove 1}", "new:1:5"),
        ("{a: {b: 1}}", "{a: !remove {b: 1}}", "new:1:5"),
        ("{a: []}", "{a: [[!remove b]]}", "new:1:7"),
        ("{kernel: {command_line: [a]}}", "{kernel: {command_line: [!remove b]}}", "new:1:26"),
        ("{a: []}", "{a: [{path: x}, {path: x}]}", "new:1:17"),
    ],
)
def test_what_cannot_be_merged_is_told(old: str, new: str, place: str) -> None:
    with pytest.raises(ColvertError) as caught:
        merged(old, new)
    assert str(caught.value.where) == place
