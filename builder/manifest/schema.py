"""JSON Schema of manifests for editors, made from the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import models_json_schema

from builder.manifest.model import Manifest
from builder.manifest.problems import nested_models
from builder.quantities import KIB, format_size

DIALECT = "https://json-schema.org/draft/2020-12/schema"


# models of settings that other rooms validate: key of the manifest -> name -> model
Models = Mapping[str, Mapping[str, type[BaseModel]]]


def schema(models: Models) -> dict[str, Any]:
    """The schema of a manifest file (of one file: what it inherits, it need not say)."""
    made = Manifest.model_json_schema(mode="validation")
    for key, named in models.items():
        _take_in(made, key, named)
    # any file may be a variant of another one
    made.pop("required", None)
    include = {
        "description": "Manifests to include, relative to this file. Later files win, this file over all.",
        "type": "array",
        "items": {"type": "string"},
    }
    made["properties"] = {"include": include, **made["properties"]}
    _tidy(made)
    return {"$schema": DIALECT, **made, "title": "Colvert manifest"}


def _take_in(made: dict[str, Any], key: str, named: Mapping[str, type[BaseModel]]) -> None:
    """Say what each name under a key can have: other names are mistakes."""
    references, whole = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(named.values())], ref_template="#/$defs/{model}"
    )
    made["$defs"] |= whole["$defs"]
    made["properties"][key] = {
        "description": made["properties"][key]["description"],
        "type": "object",
        "properties": {name: references[model, "validation"] for name, model in named.items()},
        "additionalProperties": False,
    }


def schema_json(models: Models) -> str:
    """The text of `manifests/schema.json`."""
    return json.dumps(schema(models), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


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


def reference(models: Models) -> str:
    """The table of all keys for `docs/manifest.md`."""
    lines = ["", "| key | default | meaning |", "| --- | --- | --- |"]
    lines.append("| `include` | `[]` | Manifests to include, relative to this file. |")
    lines += _rows(Manifest, "", models)
    return "\n".join(lines) + "\n"


def _rows(model: type[BaseModel], prefix: str, models: Models) -> list[str]:
    rows = []
    for name, field in model.model_fields.items():
        named = models.get(f"{prefix}{name}", {})
        inner = nested_models(field.annotation)
        kind = get_origin(field.annotation)
        many = "[]" if kind is tuple else ".NAME" if kind is Mapping else ""
        key = f"{prefix}{name}{many if inner or named else ''}"
        rows.append(f"| `{key}` | {_default(name, field)} | {field.description} |")
        for deeper in inner:
            rows += _rows(deeper, f"{key}.", models)
        rows += _rows_of_each(named, f"{prefix}{name}")
    return rows


def _rows_of_each(named: Mapping[str, type[BaseModel]], key: str) -> list[str]:
    """Rows of models by name: once for NAME where all have the same, else with the name of each."""
    rows = {name: _rows(model, f"{key}.NAME.", {}) for name, model in named.items()}
    common = [row for row in next(iter(rows.values()), []) if all(row in one for one in rows.values())]
    own = [
        row.replace(f"{key}.NAME.", f"{key}.{name}.", 1)
        for name, one in rows.items()
        for row in one
        if row not in common
    ]
    return common + own


def _default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    if name == "epoch":
        # the loader puts the commit's time in its place
        return "`git`"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return ""
    if isinstance(value, tuple):
        return "`[]`"
    if value is None:
        return "`null`"
    if name == "mode":
        return f"`0{value:o}`"
    return f"`{format_size(value) if isinstance(value, int) and value >= KIB else value}`"
