"""docs/architecture.md and docs/concepts.md against the code: functions, rooms, stages."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import builder
from builder.pipeline.stage import Stage
from tests.unit.test_rooms import ABOVE, EVERYWHERE, TABLE, direct

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs/architecture.md").read_text()
CONCEPTS = (PROJECT / "docs/concepts.md").read_text()
WALK = re.findall(r"^\| `(builder/[\w/]+\.py)` \| `([\w.]+)` \|", PAGE, re.MULTILINE)


def defined(tree: ast.Module, name: str) -> bool:
    """Whether a module has the function or method `name`."""
    found: list[ast.stmt] = tree.body
    for word in name.split("."):
        hits = [
            node for node in found if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == word
        ]
        if not hits:
            return False
        found = hits[0].body
    return True


@pytest.mark.parametrize(("file", "function"), WALK)
def test_the_walk_names_functions_that_are_there(file: str, function: str) -> None:
    assert defined(ast.parse((PROJECT / file).read_text()), function)


def test_the_walk_goes_from_the_command_to_the_disk() -> None:
    assert len(WALK) > 30
    assert WALK[0] == ("builder/cli/build.py", "cli")
    assert ("builder/build/disk.py", "Disk.run") in WALK


def test_the_map_of_the_rooms_is_the_table() -> None:
    arrows = {
        (room, other.strip())
        for room, others in re.findall(r"^  (\w+) --> ([\w &]+)$", CONCEPTS, re.MULTILINE)
        for other in others.split("&")
    }
    rooms = {room for room, listed in TABLE.items() if listed != ABOVE} - EVERYWHERE
    assert arrows == {(room, other) for room in rooms for other in direct(room) - EVERYWHERE}


def stages() -> set[type[Stage]]:
    """All stages of the product."""
    for module in pkgutil.walk_packages(builder.__path__, "builder."):
        if module.name.split(".")[1] in ("build", "machine", "packages") and not module.name.endswith(
            ("portage.resolve", "portage.sources")
        ):
            importlib.import_module(module.name)
    return {one for one in Stage.__subclasses__() if one.__module__.startswith("builder.")}


def test_every_stage_is_in_the_table_of_stages() -> None:
    rows = re.findall(
        r"^\| `([a-z]+)(?::[A-Z]+)?` \| .* \| `(builder/[\w/]+\.py)` \|$", CONCEPTS, re.MULTILINE
    )
    assert sorted(rows) == sorted((one.name, one.__module__.replace(".", "/") + ".py") for one in stages())
