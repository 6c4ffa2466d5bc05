"""Architectures: one row each, and nothing else in the builder spells one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from builder.arch import ARCHITECTURES, ArchitectureName
from builder.errors import Code, ColvertError
from builder.updates.contents import Contents, KeyNames

BUILDER = Path(__file__).parents[2] / "builder"
# the rows, what is installed into the SDK, and what Portage reads
ALLOWED = ("arch.py", "sandbox/recipe/", "packages/portage/")
# names of architectures as tools have them, types of partitions, and the one board of QEMU
SPELLED = re.compile(
    r"x86|amd64|aarch64|arm64|(?<![\du])x64|BOOTX|q35|OVMF|qemu-system"
    r"|4f68bce3|8484680c|77ff5f63|e7bb33fb",
    re.IGNORECASE,
)


def _body(node: ast.AST) -> list[ast.stmt]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return node.body if isinstance(node, documented) else []


def texts(path: Path) -> Iterator[str]:
    """What a file says: of a module its names and strings, without comments and docstrings."""
    if path.suffix != ".py":
        yield path.read_text()
        return
    tree = ast.parse(path.read_text())
    docstrings = {
        first.value for node in ast.walk(tree) for first in _body(node)[:1] if isinstance(first, ast.Expr)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if node not in docstrings:
                yield text
            case ast.Name(id=text) | ast.Attribute(attr=text) | ast.arg(arg=text) | ast.alias(name=text):
                yield text


def test_nothing_but_the_rows_spells_an_architecture() -> None:
    found = [
        f"{path.relative_to(BUILDER)}: {match[0]}"
        for path in sorted(BUILDER.rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
        if not str(path.relative_to(BUILDER)).startswith(ALLOWED)
        for text in texts(path)
        for match in SPELLED.finditer(text)
    ]
    assert found == []


def test_a_name_is_a_row_and_a_row_has_a_name() -> None:
    assert set(get_args(ArchitectureName)) == set(ARCHITECTURES)
    assert all(name == row.name for name, row in ARCHITECTURES.items())


def test_no_two_rows_share_what_tells_them_apart() -> None:
    types = [
        getattr(row.partitions, one.name) for row in ARCHITECTURES.values() for one in fields(row.partitions)
    ]
    assert len(set(types)) == len(types)
    for column in ("name", "debian", "gentoo", "efi", "elf", "removable", "loader", "stub"):
        values = [getattr(row, column) for row in ARCHITECTURES.values()]
        assert len(set(values)) == len(values), column


def test_names_that_others_look_for() -> None:
    row = ARCHITECTURES["x86_64"]
    assert (row.removable, row.loader, row.stub) == (
        "BOOTX64.EFI",
        "systemd-bootx64.efi",
        "linuxx64.efi.stub",
    )


def test_a_release_of_an_architecture_that_is_not_known_is_refused() -> None:
    keys = KeyNames(usr="development", secure_boot="development", release="development")
    index = Contents(
        image_id="os", architecture="riscv64", version="1", created=0, root_hash="ab" * 32, keys=keys,
        files=[], envelopes=[],
    )  # fmt: skip
    with pytest.raises(ColvertError, match="riscv64 is not known here") as caught:
        _ = index.loader
    assert caught.value.code is Code.RELEASE_INVALID
