"""The schema for editors is current, and the manifests of the project are good by it and by us."""

from __future__ import annotations

import os
import re
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from builder.build.targets import MODELS
from builder.manifest.load import load
from builder.manifest.schema import reference, schema, schema_json
from builder.platforms import Settings

PROJECT = Path(__file__).parents[2]
SCHEMA = PROJECT / "manifests" / "schema.json"
REFERENCE = PROJECT / "docs" / "manifest.md"
# the audit's policy stands beside the manifests and is none
SHIPPED = sorted(set((PROJECT / "manifests").rglob("*.yaml")) - {PROJECT / "manifests" / "audit.yaml"})
COMPLETE = [path for path in SHIPPED if path.name != "base.yaml"]


def accepting() -> bool:
    return bool(os.environ.get("COLVERT_ACCEPT"))


def test_the_schema_is_current() -> None:
    if accepting():
        SCHEMA.write_text(schema_json(MODELS))
    assert SCHEMA.read_text() == schema_json(MODELS), "run with COLVERT_ACCEPT=1"


def test_the_reference_is_current() -> None:
    text = REFERENCE.read_text()
    mark = "<!-- generated from builder/manifest/model.py -->\n"
    head, found, _ = text.partition(mark)
    assert found
    if accepting():
        REFERENCE.write_text(head + mark + reference(MODELS))
    assert REFERENCE.read_text() == head + mark + reference(MODELS), "run with COLVERT_ACCEPT=1"


class Editor(yaml.SafeLoader):
    """YAML as the editors' language server reads it: our tags mean the plain value."""


def _untagged(loader: yaml.SafeLoader, node: yaml.Node) -> object:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    return loader.construct_object(yaml.ScalarNode("tag:yaml.org,2002:str", node.value))


for tag in ("!remove", "!replace"):
    Editor.add_constructor(tag, _untagged)


class Extended(Settings):
    """A platform with a setting of its own."""

    hardware: int = 17
    """Virtual hardware."""


def test_settings_of_one_platform_alone_are_documented_with_its_name() -> None:
    models = {"platforms": {"one": Settings, "other": Extended}}
    rows = [line.split("|")[1].strip() for line in reference(models).splitlines() if "`platforms" in line]
    names = ("NAME", "NAME.memory", "NAME.cpus", "NAME.disk_size", "other.hardware")
    assert rows == [f"`platforms.{name}`" for name in names]
    jsonschema.validate({"platforms": {"other": {"hardware": 3}}}, schema(models))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"platforms": {"one": {"hardware": 3}}}, schema(models))


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema(MODELS))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_editors_find_nothing_in_our_manifests(path: Path) -> None:
    text = path.read_text()
    jsonschema.validate(yaml.load(text, Editor), schema(MODELS))
    wired = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert wired and (path.parent / wired[1]).resolve() == SCHEMA


@pytest.mark.parametrize(
    "wrong",
    [
        {"pakages": []},
        {"disk": {"usr": 1}},
        {"usr": {"file_system": "ext4"}},
        {"platforms": {"qmu": {}}},
        {"platforms": {"qemu": {"cpu": 2}}},
        {"platforms": {"qemu": {"memory": "much"}}},
    ],
)
def test_editors_find_what_is_wrong(wrong: dict[str, object]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema(MODELS))


@pytest.mark.parametrize("path", COMPLETE, ids=lambda path: path.name)
def test_our_manifests_load(path: Path) -> None:
    loaded = load(path, overrides={"version": "1.0.0", "epoch": "1700000000"})
    assert loaded.manifest.overlays
    assert len(path.read_text().split("\n")) < 60


@pytest.mark.parametrize("path", COMPLETE, ids=lambda path: path.name)
def test_our_manifests_name_packages_that_are_there(path: Path) -> None:
    manifest = load(path, overrides={"version": "1.0.0", "epoch": "1700000000"}).manifest
    overlay = PROJECT / "overlays" / "colvert"
    wanted = {*manifest.packages, manifest.kernel.package, *manifest.use}
    assert not sorted(atom for atom in wanted if not list((overlay / atom).glob("*.ebuild")))
