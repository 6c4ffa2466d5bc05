"""Merged manifest, with the file and line of each value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from builder.manifest.load import DEFAULT, LoadedManifest
from builder.manifest.marks import NULLS
from builder.manifest.problems import Loc

_PLAIN = re.compile(r"[A-Za-z0-9/._](?:[A-Za-z0-9/._=<>@+,%~-]|:(?!$)|\[|\]| (?![#]))*")
_COLUMN = 44


def show_yaml(loaded: LoadedManifest, platforms: Mapping[str, BaseModel] = {}) -> str:
    """The manifest as one YAML text; each value's line ends with `# file:line`."""
    lines = list(_mapping(loaded, loaded.manifest.shown(platforms), (), 0))
    return "".join(f"{line}\n" for line in lines)


def show_json(loaded: LoadedManifest, platforms: Mapping[str, BaseModel] = {}) -> str:
    """The same as JSON: `manifest`, and `origins` by dotted key (list members by index)."""
    shown = loaded.manifest.shown(platforms)
    origins = {".".join(map(str, path)): str(loaded.origin(path)) for path in _leaves(shown, ())}
    whole = {"manifest": shown, "origins": origins, "commit": loaded.commit, "files": list(loaded.files)}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _leaves(value: Any, path: Loc) -> Iterator[Loc]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*path, index))
    else:
        yield path


def _mapping(loaded: LoadedManifest, value: dict[str, Any], path: Loc, depth: int) -> Iterator[str]:
    for key, inner in value.items():
        yield from _entry(loaded, f"{'  ' * depth}{_scalar(key)}:", inner, (*path, key), depth)


def _entry(loaded: LoadedManifest, head: str, value: Any, path: Loc, depth: int) -> Iterator[str]:
    """A key or list member with its value, which may take further lines."""
    if isinstance(value, dict) and value:
        yield head
        yield from _mapping(loaded, value, path, depth + 1)
    elif isinstance(value, list) and value:
        yield head
        for index, member in enumerate(value):
            yield from _entry(loaded, f"{'  ' * (depth + 1)}-", member, (*path, index), depth + 1)
    else:
        text = f"{head} {_scalar(value)}"
        yield f"{text:<{_COLUMN}}  # {_where(loaded, path)}"


def _where(loaded: LoadedManifest, path: Loc) -> str:
    where = loaded.origin(path)
    return where.file if where == DEFAULT or not where.line else f"{where.file}:{where.line}"


def _scalar(value: Any) -> str:
    """A value so that YAML reads it back as the same text."""
    if value is None:
        return "null"
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and text not in NULLS and not text.endswith(" ") and ": " not in text:
        return text
    return json.dumps(text, ensure_ascii=False)
