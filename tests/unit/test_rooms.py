"""The rooms of builder/ and what each may import, as docs/architecture.md has it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs/architecture.md"
ABOVE = "all above"
# a room and the rooms that it may import; what those may import counts too
TABLE = {
    "errors": "",
    "texts": "errors",
    "places": "",
    "arch": "",
    "quantities": "texts",
    "pipeline": "errors",
    "manifest": "errors",
    "sandbox": "pipeline",
    "formats": "pipeline",
    "tools": "formats, sandbox",
    "packages": "sandbox, pipeline",
    "assembly": "tools, formats",
    "boot": "tools, formats",
    "platforms": "tools, formats, boot",
    "updates": "formats, pipeline",
    "signing": "updates, manifest",
    "verify": "signing, updates, tools, boot",
    "describe": "formats, assembly",
    "audit": "assembly, formats, manifest",
    "machine": "sandbox",
    "build": ABOVE,
    "rebuild": "build",
    "cli": ABOVE,
}
EVERYWHERE = frozenset({"errors", "texts", "places", "arch", "quantities"})


def direct(room: str) -> frozenset[str]:
    """The rooms that the table lists for one."""
    if TABLE[room] == ABOVE:
        return frozenset(list(TABLE)[: list(TABLE).index(room)])
    return frozenset(re.findall(r"\w+", TABLE[room]))


@cache
def allowed(room: str) -> frozenset[str]:
    """All rooms that one may import: those listed, what they may import, and what every room may."""
    listed = direct(room)
    if room in EVERYWHERE:
        return listed
    return (listed | EVERYWHERE).union(*(allowed(other) for other in listed)) - {room}


MODULES = {
    ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((PROJECT / "builder").rglob("*.py"))
}


def room_of(module: str) -> str:
    """The room of a module; nothing for the package `builder` itself, which has the version."""
    return module.removeprefix("builder").lstrip(".").partition(".")[0]


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of whatever is imported, also inside functions, and of each of our modules that a string
    names; not what only type checkers read."""
    todo = [tree]
    while todo:
        node = todo.pop()
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                todo += node.orelse
                continue
            case ast.Import():
                yield from ((node.lineno, alias.name) for alias in node.names)
            case ast.ImportFrom():
                assert not node.level and node.module, f"line {node.lineno}: imports name the whole module"
                yield node.lineno, node.module
                # `from builder.signing import authenticode` imports a module
                yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
            case ast.Constant(value=str() as text) if text in MODULES:
                yield node.lineno, text
        todo += ast.iter_child_nodes(node)


@cache
def arrows() -> list[tuple[str, str, str]]:
    """Every import from one room into another: room, other room, place."""
    found = []
    for module, path in MODULES.items():
        for line, name in imported(ast.parse(path.read_text())):
            room, other = room_of(module), room_of(name) if name in MODULES else ""
            if room and other and room != other:
                found.append((room, other, f"{path.relative_to(PROJECT)}:{line} imports {name}"))
    return found


def test_every_module_is_in_a_room() -> None:
    rooms = {room_of(module) for module in MODULES} - {""}
    assert rooms == TABLE.keys()


def test_rooms_import_what_the_table_allows() -> None:
    assert [place for room, other, place in arrows() if other not in allowed(room)] == []


def test_there_is_no_circle_between_rooms() -> None:
    for graph in (
        {room: allowed(room) for room in TABLE},
        {room: {other for one, other, _ in arrows() if one == room} for room in TABLE},
    ):
        TopologicalSorter(graph).prepare()


def test_the_table_is_the_one_of_the_documentation() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \|([^|]*)\|$", PAGE.read_text(), re.MULTILINE)
    assert [(room, listed.replace("`", "").strip()) for room, listed in rows] == list(TABLE.items())


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("def f():\n    from builder.build import session", {"builder.build", "builder.build.session"}),
        (
            "if TYPE_CHECKING:\n    import builder.cli.main\nelse:\n    import builder.errors",
            {"builder.errors"},
        ),
        ("import_module('builder.cli.sign')", {"builder.cli.sign"}),
    ],
)
def test_imports_are_found_wherever_they_are(text: str, names: set[str]) -> None:
    assert {name for _, name in imported(ast.parse(text))} == names


@pytest.mark.parametrize("module", MODULES)
def test_a_module_begins_with_one_plain_sentence(module: str) -> None:
    """Noun first: no name of the room before a colon, no relative clause in the place of a subject."""
    text = ast.get_docstring(ast.parse(MODULES[module].read_text())) or ""
    sentence, _, rest = text.partition("\n")
    assert sentence.endswith(".") and (not rest or rest.startswith("\n")), sentence
    room = room_of(module).capitalize()
    assert not re.match(
        rf"(?:{room or 'Builder'}|Manifest room|Release): |(?:What|Who|How|Where|Whether)\b", sentence
    )
