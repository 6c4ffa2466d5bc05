"""Provenance: the statement's shape, git's trees and the digests of sparse files."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pygit2
import pytest
from hypothesis import given
from hypothesis import strategies as st

import builder
from builder.describe.gittree import git_tree
from builder.describe.provenance import BUILD_TYPE, Build, Material, make_statement
from builder.describe.toolchain import toolchain
from builder.pipeline.key import digest_file

BUILD = Build(
    external={"manifest": "manifests/colvert.yaml", "targets": ["qemu"]},
    internal={"locked": False},
    materials=(
        Material("manifest", {"gitCommit": "ab" * 20}),
        Material("distfile:a.tar.xz", {"sha512": "cd" * 64}, "https://example.org/a.tar.xz", {"size": 1}),
    ),
    versions={"colvert": "0.1.0"},
)


def test_the_statement_says_what_slsa_wants() -> None:
    statement = json.loads(make_statement(BUILD, {"qemu/b.qcow2": "22" * 32, "qemu/a.json": "11" * 32}))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["subject"] == [
        {"name": "qemu/a.json", "digest": {"sha256": "11" * 32}},
        {"name": "qemu/b.qcow2", "digest": {"sha256": "22" * 32}},
    ]
    definition = statement["predicate"]["buildDefinition"]
    assert definition["buildType"] == BUILD_TYPE
    assert definition["resolvedDependencies"] == [
        {"name": "manifest", "digest": {"gitCommit": "ab" * 20}},
        {
            "name": "distfile:a.tar.xz",
            "uri": "https://example.org/a.tar.xz",
            "digest": {"sha512": "cd" * 64},
            "annotations": {"size": 1},
        },
    ]


def test_the_invocation_follows_from_the_definition_alone() -> None:
    def invocation(build: Build, digest: str) -> str:
        statement = json.loads(make_statement(build, {"a": digest}))
        return str(statement["predicate"]["runDetails"]["metadata"]["invocationId"])

    assert make_statement(BUILD, {"a": "11"}) == make_statement(BUILD, {"a": "11"})
    assert invocation(BUILD, "11") == invocation(BUILD, "22")
    assert invocation(BUILD, "11") != invocation(replace(BUILD, internal={"locked": True}), "11")
    # two Colverts may make two things of the same definition
    assert invocation(BUILD, "11") != invocation(replace(BUILD, versions={"colvert": "0.2.0"}), "11")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of a project like ours, all of it committed."""
    for name in ("builder/cli.py", "builder/data/template.j2", "docs/page.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x\n")
    repository = pygit2.init_repository(str(tmp_path))
    repository.index.add_all()
    tree, who = repository.index.write_tree(), pygit2.Signature("N", "n@example.org", 1, 0)
    repository.index.write()
    repository.create_commit("HEAD", who, who, "first", tree, [])
    return tmp_path


def test_a_toolchain_is_known_by_its_commit_and_its_code(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> dict[str, str]:
        toolchain.cache_clear()
        return toolchain()

    monkeypatch.setattr("builder.describe.toolchain.PROJECT", checkout)
    clean = found()
    commit = str(pygit2.Repository(str(checkout)).head.target)
    assert clean == {"colvert": builder.__version__, "code": clean["code"], "commit": commit}
    (checkout / "docs/page.md").write_text("y\n")
    (checkout / "builder/__pycache__").mkdir()
    (checkout / "builder/__pycache__/x.pyc").write_text("y")
    assert found()["code"] == clean["code"]
    (checkout / "builder/__pycache__/x.pyc").unlink()
    assert found() == clean
    for name in ("builder/cli.py", "builder/data/template.j2", "builder/new.py"):
        path = checkout / name
        before = path.read_text() if path.exists() else None
        path.write_text("y\n")
        edited = found()
        assert (edited["commit"], edited["code"] != clean["code"]) == (f"{commit}-dirty", True), name
        path.unlink() if before is None else path.write_text(before)
    assert found() == clean
    toolchain.cache_clear()


def test_a_toolchain_outside_of_git_has_a_digest_still(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a checkout of something else is around it."""
    monkeypatch.setattr("builder.describe.toolchain.PROJECT", checkout / "docs")
    toolchain.cache_clear()
    (checkout / "docs/builder").mkdir()
    (checkout / "docs/builder/x.py").touch()
    assert set(toolchain()) == {"colvert", "code"}
    toolchain.cache_clear()


def test_a_directory_has_the_id_that_git_gives_it(tmp_path: Path) -> None:
    for name in ("a.b/x", "a/x", "a0/x", "a/deep/er/y", "tool"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "tool").chmod(0o755)
    (tmp_path / "link").symlink_to("a/x")
    (tmp_path / "empty/inside").mkdir(parents=True)
    # git adds no pipe, and reading one waits for ever
    os.mkfifo(tmp_path / "pipe")
    repository = pygit2.init_repository(str(tmp_path))
    repository.index.add_all()
    assert git_tree(tmp_path) == str(repository.index.write_tree())
    (tmp_path / "tool").chmod(0o644)
    assert git_tree(tmp_path) != str(repository.index.write_tree())


def test_nothing_is_gits_empty_tree(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    assert git_tree(tmp_path) == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


MIB = 1 << 20


@pytest.mark.parametrize("size", [0, 1, MIB, 5 * MIB + 3])
def test_a_file_of_holes(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.touch()
    os.truncate(path, size)
    assert digest_file(path) == hashlib.sha256(bytes(size)).hexdigest()


@given(
    places=st.lists(st.tuples(st.integers(0, 3 * MIB), st.binary(min_size=1, max_size=9000)), max_size=4),
    end=st.integers(0, 4 * MIB),
)
def test_data_between_holes(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[int, bytes]], end: int
) -> None:
    path = tmp_path_factory.mktemp("sparse") / "file"
    with path.open("wb") as stream:
        stream.truncate(end)
        for place, data in places:
            stream.seek(place)
            stream.write(data)
    assert digest_file(path) == hashlib.sha256(path.read_bytes()).hexdigest()
