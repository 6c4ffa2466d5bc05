"""Manifest room: the JSON Schema that editors check manifests with, made from the model."""

from __future__ import annotations

import json
from typing import Any

from builder.manifest.model import Manifest

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The schema of a manifest file (of one file: what it inherits, it need not say)."""
    made = Manifest.model_json_schema(mode="validation")
    # any file may be a variant of another one
    made.pop("required", None)
    include = {
        "description": "Manifests to start from, relative to this one. Later ones win, this one over all.",
        "type": "array",
        "items": {"type": "string"},
    }
    made["properties"] = {"include": include, **made["properties"]}
    _tidy(made)
    return {"$schema": DIALECT, **made, "title": "Colvert manifest"}


def schema_json() -> str:
    """The text of `manifests/schema.json`."""
    return json.dumps(schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _tidy(node: object) -> None:
    """Leave out what says nothing to an editor: titles of keys, and defaults that a base may set."""
    if isinstance(node, list):
        for member in node:
            _tidy(member)
    if not isinstance(node, dict):
        return
    for fields in (node.get("properties", {}), node.get("$defs", {})):
        for field in fields.values():
            if isinstance(field.get("title"), str):
                del field["title"]
            field.pop("default", None)
    for value in node.values():
        _tidy(value)
