"""Overlays by path and from git: pinned, verified, read-only, and told at the manifest's line."""

from __future__ import annotations

import os
from pathlib import Path

import pygit2
import pytest

from builder.errors import Code, ColvertError
from builder.manifest.load import LoadedManifest, load
from builder.manifest.overlays import resolve

WHO = pygit2.Signature("A", "a@example.org", 1700000000, 0)


def overlay(path: Path, name: str) -> Path:
    (path / "profiles").mkdir(parents=True)
    (path / "profiles" / "repo_name").write_text(name + "\n")
    return path


def commit(path: Path) -> str:
    repository = pygit2.init_repository(str(path))
    repository.index.add_all()
    repository.index.write()
    parents = [] if repository.head_is_unborn else [repository.head.target]
    return str(repository.create_commit("HEAD", WHO, WHO, "change", repository.index.write_tree(), parents))


def manifest(tmp_path: Path, entry: str) -> LoadedManifest:
    path = tmp_path / "os.yaml"
    path.write_text(f"id: a\nname: A\nversion: 1\nepoch: 1\noverlays:\n  - {entry}\n")
    return load(path)


def failure(tmp_path: Path, entry: str) -> ColvertError:
    loaded = manifest(tmp_path, entry)
    with pytest.raises(ColvertError) as caught:
        resolve(loaded, tmp_path / "cache")
    assert caught.value.where and (caught.value.where.line, caught.value.where.column) == (6, 5)
    return caught.value


def test_a_directory(tmp_path: Path) -> None:
    overlay(tmp_path / "mine", "mine")
    (found,) = resolve(manifest(tmp_path, "mine"), tmp_path / "cache")
    assert (found.name, found.path, found.pin) == ("mine", tmp_path / "mine", None)


def test_a_directory_that_is_no_overlay(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert failure(tmp_path, "mine").code is Code.OVERLAY_MISSING


def test_git_at_its_commit(tmp_path: Path) -> None:
    source = tmp_path / "source"
    inside = overlay(source / "repos" / "theirs", "theirs")
    script = inside / "tool"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    (inside / "link").symlink_to("profiles/repo_name")
    pinned = commit(source)
    (inside / "profiles" / "repo_name").write_text("moved on\n")
    commit(source)
    entry = f"{{git: '{source.as_uri()}', commit: {pinned}, path: repos/theirs}}"
    (found,) = resolve(manifest(tmp_path, entry), tmp_path / "cache")
    assert found.name == "theirs"
    assert found.path.name == found.pin
    assert sorted(os.listdir(found.path)) == ["link", "profiles", "tool"]
    assert (found.path / "tool").stat().st_mode & 0o777 == 0o555
    assert (found.path / "profiles" / "repo_name").stat().st_mode & 0o777 == 0o444
    assert found.path.stat().st_mode & 0o777 == 0o555
    # what is in the cache needs the repository no more
    source.rename(tmp_path / "gone")
    assert resolve(manifest(tmp_path, entry), tmp_path / "cache") == (found,)


def test_git_that_cannot_give_the_commit(tmp_path: Path) -> None:
    source = overlay(tmp_path / "source", "theirs")
    pinned = commit(source)
    uri = source.as_uri()
    tree = str(pygit2.Repository(str(source))[pinned].peel(pygit2.Tree).id)
    for rest in ("0" * 40, tree, f"{pinned}, path: lost", f"{pinned}, path: profiles"):
        assert failure(tmp_path, f"{{git: '{uri}', commit: {rest}}}").code is Code.OVERLAY_MISSING
    assert failure(tmp_path, f"{{git: '{uri}-lost', commit: {pinned}}}").code is Code.FETCH_FAILED


def test_a_link_out_of_the_overlay_is_refused(tmp_path: Path) -> None:
    source = overlay(tmp_path / "source", "theirs")
    (source / "profiles" / "link").symlink_to("../../etc/passwd")
    entry = f"{{git: '{source.as_uri()}', commit: {commit(source)}}}"
    assert failure(tmp_path, entry).code is Code.OVERLAY_MISSING
    assert not list((tmp_path / "cache" / "overlays").iterdir())
