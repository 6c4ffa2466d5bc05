"""Inputs of the user's: what is taken in counts, whoever checked it out, and what comes later does not."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import Code, ColvertError
from builder.pipeline.artifact import Artifact
from builder.pipeline.index import Item, Type, digest, survey
from builder.pipeline.ingest import _ingest, ingest_files, ingest_texts, ingest_tree, resolve, select
from builder.pipeline.store import Store
from tests.unit.stages import Copy, executor


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def overlay(root: Path) -> Path:
    """An overlay, as a clone makes it: with the umask of who clones."""
    (root / "dev-libs/x/files").mkdir(parents=True)
    (root / "profiles").mkdir()
    for name, text in {"dev-libs/x/x-1.ebuild": "EAPI=8\n", "dev-libs/x/files/fix.patch": "---\n"}.items():
        (root / name).write_text(text)
    program = root / "dev-libs/x/files/tool"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o777 & ~_umask())
    (root / "link").symlink_to("dev-libs/x")
    return root


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def refused(store: Store, root: Path) -> ColvertError:
    with pytest.raises(ColvertError) as caught:
        ingest_tree(store, "overlay", root)
    assert caught.value.code is Code.OVERLAY_INVALID
    assert caught.value.where is not None
    assert not list((store.root / "tmp").iterdir())
    return caught.value


# --- what counts ----------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o002, 0o007, 0o077, 0o000])
def test_the_umask_of_a_clone_is_no_input(store: Store, tmp_path: Path, mask: int) -> None:
    with umask(0o022):
        usual = ingest_tree(store, "overlay", overlay(tmp_path / "a"))
    with umask(mask):
        other = overlay(tmp_path / "b")
        assert stat.S_IMODE((other / "profiles").stat().st_mode) == 0o777 & ~mask
        assert ingest_tree(store, "overlay", other) == usual
        # nor is the umask of the build
        fresh = ingest_tree(Store(tmp_path / "fresh"), "overlay", other)
    assert fresh == usual


def test_modes_count_as_git_sees_them(store: Store, tmp_path: Path) -> None:
    root = overlay(tmp_path / "a")
    before = ingest_tree(store, "overlay", root)
    assert store.modes(before)["dev-libs/x/files/tool"] == 0o755
    (root / "dev-libs/x/x-1.ebuild").chmod(0o600)
    (root / "dev-libs/x/files/tool").chmod(0o700)
    assert ingest_tree(store, "overlay", root) == before
    (root / "dev-libs/x/x-1.ebuild").chmod(0o755)
    assert ingest_tree(store, "overlay", root) != before


def test_what_is_read_of_an_overlay_counts(store: Store, tmp_path: Path) -> None:
    found = {ingest_tree(store, "overlay", overlay(tmp_path / "same"))}
    for number, change in enumerate(
        (
            lambda root: (root / "dev-libs/x/x-1.ebuild").write_text("EAPI=7\n"),
            lambda root: (root / "dev-libs/x/x-1.ebuild").rename(root / "dev-libs/x/x-2.ebuild"),
            lambda root: (root / "dev-libs/x/more").touch(),
            lambda root: (root / ".hidden").touch(),
            lambda root: (root / "dev-libs/x/files/fix.patch").unlink(),
            lambda root: (root / "second").symlink_to("profiles"),
        )
    ):
        root = overlay(tmp_path / str(number))
        change(root)  # type: ignore[no-untyped-call]
        found.add(ingest_tree(store, "overlay", root))
    assert len(found) == 7


IGNORED = (
    ".git/HEAD",
    ".git/objects/ab/cd",
    ".hg/store",
    ".svn/entries",
    "eclass/__pycache__/x.pyc",
    "dev-libs/x/.x-1.ebuild.swp",
    "dev-libs/x/.x-1.ebuild.swo",
    "dev-libs/x/x-1.ebuild~",
    "dev-libs/x/#x-1.ebuild#",
    "dev-libs/x/files/.#fix.patch",
)


@pytest.mark.parametrize("name", IGNORED)
def test_version_control_and_editors_are_no_input(store: Store, tmp_path: Path, name: str) -> None:
    root = overlay(tmp_path / "a")
    before = ingest_tree(store, "overlay", root)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("x")
    assert ingest_tree(store, "overlay", root) == before
    # nor do they stop anything: Emacs' locks are links to nothing, a socket may lie in .git
    (root / name).unlink()
    (root / name).symlink_to("me@machine.123:456")
    assert ingest_tree(store, "overlay", root) == before
    (root / name).unlink()
    os.mkfifo(root / name)
    assert ingest_tree(store, "overlay", root) == before


def test_a_git_file_of_a_worktree_is_no_input(store: Store, tmp_path: Path) -> None:
    root = overlay(tmp_path / "a")
    before = ingest_tree(store, "overlay", root)
    (root / ".git").write_text("gitdir: /somewhere/else\n")
    assert ingest_tree(store, "overlay", root) == before


def test_empty_folders_are_no_input(store: Store, tmp_path: Path) -> None:
    """Git does not keep them either."""
    root = overlay(tmp_path / "a")
    before = ingest_tree(store, "overlay", root)
    (root / "empty/inside").mkdir(parents=True)
    assert ingest_tree(store, "overlay", root) == before


# --- what is refused ------------------------------------------------------------------


def test_a_fifo_is_refused_and_not_waited_for(store: Store, tmp_path: Path) -> None:
    root = overlay(tmp_path / "a")
    os.mkfifo(root / "pipe")
    assert "FIFO" in refused(store, root).what


def test_a_socket_is_refused(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = overlay(tmp_path / "a")
    monkeypatch.chdir(root)  # a socket's path has to be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert "socket" in refused(store, root).what


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "dev-libs/../../outside", "profiles/../.."])
def test_a_link_out_of_the_overlay_is_refused(store: Store, tmp_path: Path, target: str) -> None:
    root = overlay(tmp_path / "a")
    (tmp_path / "outside").write_text("secret")
    (root / "dev-libs/x/files/way").symlink_to(target if target.startswith("/") else f"../../../{target}")
    error = refused(store, root)
    assert error.where is not None and error.where.file == str(root / "dev-libs/x/files/way")
    assert "outside" in error.what


def test_a_link_by_way_of_another_is_refused_too(store: Store, tmp_path: Path) -> None:
    root = overlay(tmp_path / "a")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").touch()
    (root / "way").symlink_to("../outside")
    (root / "dev-libs/x/files/inner").symlink_to("../../../way/file")
    refused(store, root)


@pytest.mark.parametrize("target", ["missing", "circle"])
def test_a_link_to_nothing_is_refused(store: Store, tmp_path: Path, target: str) -> None:
    root = overlay(tmp_path / "a")
    (root / "circle").symlink_to(target)
    assert "dangling link" in refused(store, root).what


def test_a_link_inside_of_the_overlay_stays_one(store: Store, tmp_path: Path) -> None:
    """Also where the overlay itself is reached by a link."""
    root = overlay(tmp_path / "a")
    (tmp_path / "way").symlink_to("a")
    artifact = ingest_tree(store, "overlay", tmp_path / "way")
    assert artifact == ingest_tree(store, "overlay", root)
    assert (store.path(artifact) / "link").readlink() == Path("dev-libs/x")


# --- when ----------------------------------------------------------------------------


def test_a_file_edited_after_it_was_taken_in_belongs_to_the_next_build(tmp_path: Path) -> None:
    run, root = executor(tmp_path / "store"), overlay(tmp_path / "a")
    ebuild = root / "dev-libs/x/x-1.ebuild"
    taken = ingest_tree(run.store, "overlay", root)
    key = run.key(Copy(taken))
    ebuild.write_text("EAPI=8 # edited\n")
    made = run.obtain(Copy(taken))
    assert made.record.key == key
    assert (made.out / "copy/dev-libs/x/x-1.ebuild").read_text() == "EAPI=8\n"
    later = ingest_tree(run.store, "overlay", root)
    assert (run.obtain(Copy(later)).out / "copy/dev-libs/x/x-1.ebuild").read_text() == "EAPI=8 # edited\n"
    # and back again: what the store has of the first is not the second
    ebuild.write_text("EAPI=8\n")
    assert ingest_tree(run.store, "overlay", root) == taken


def test_a_file_edited_while_it_is_taken_in_is_stored_as_what_it_is(store: Store, tmp_path: Path) -> None:
    """Whatever is hashed is the copy: an artifact is never called by what a file was a moment before."""
    path = tmp_path / "file"
    path.write_text("one")
    has = store.has

    def edited(artifact: Artifact) -> bool:
        found = has(artifact)
        path.write_text("two")
        return found

    store.has = edited  # type: ignore[method-assign]
    artifact = _ingest(store, "files", {"file": path}, {})
    assert (Store(store.root).path(artifact) / "file").read_text() == "two"
    assert artifact.digest == digest(survey_as_git(store.place(artifact)))


def survey_as_git(root: Path) -> list[Item]:
    return [Item(i.name, i.type, 0o644 if i.type is Type.FILE else i.mode, i.value) for i in survey(root)]


def test_the_same_again_copies_nothing(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = overlay(tmp_path / "a")
    first = ingest_tree(store, "overlay", root)
    monkeypatch.setattr(store, "put", None)
    assert ingest_tree(store, "overlay", root) == first


# --- files and texts ------------------------------------------------------------------


def test_files_are_taken_in_under_other_names(store: Store, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("1")
    (tmp_path / "way").symlink_to("one")
    artifact = ingest_files(store, "files", {"00-one": tmp_path / "one", "a/way": tmp_path / "way"})
    place = store.path(artifact)
    assert {name: (place / name).read_text() for name in ("00-one", "a/way")} == {"00-one": "1", "a/way": "1"}
    assert not (place / "a/way").is_symlink()


@pytest.mark.parametrize("what", ["folder", "missing", "pipe"])
def test_what_is_no_file_is_refused(store: Store, tmp_path: Path, what: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ColvertError) as caught:
        ingest_files(store, "files", {"x": tmp_path / what})
    assert caught.value.code is Code.OVERLAY_INVALID
    assert caught.value.where is not None and what in caught.value.where.file


def test_texts_are_files(store: Store, tmp_path: Path) -> None:
    for name, text in {"x": b"1", "a/y": b"2"}.items():
        (tmp_path / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "files" / name).write_bytes(text)
    assert ingest_texts(store, "k", {"x": b"1", "a/y": b"2"}) == ingest_tree(store, "k", tmp_path / "files")


NAMES = st.lists(st.sampled_from(["a", "b", "a.b", "a-", "ab", "B", "ä"]), min_size=1, max_size=3)


@given(st.dictionaries(NAMES.map("/".join), st.sampled_from(["", "x"]), max_size=8))
def test_the_name_is_known_before_anything_is_copied(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, str]
) -> None:
    """Else each build would copy everything again."""
    tops = {name for name in files if not any(other.startswith(f"{name}/") for other in files)}
    root = tmp_path_factory.mktemp("tree")
    for name in tops:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(files[name])
    store = Store(tmp_path_factory.mktemp("store"))
    first = ingest_tree(store, "k", root)
    store.put = None  # type: ignore[assignment, method-assign]
    assert ingest_tree(store, "k", root) == first


def test_files_of_other_artifacts_are_selected(store: Store, tmp_path: Path) -> None:
    taken = ingest_tree(store, "overlay", overlay(tmp_path / "a"))
    chosen = {"e/x.ebuild": (taken, "dev-libs/x/x-1.ebuild"), "tool": (taken, "link/files/tool")}
    artifact = select(store, "recipe", chosen)
    assert (store.path(artifact) / "e/x.ebuild").read_text() == "EAPI=8\n"
    assert store.modes(artifact)["tool"] == 0o755
    fresh = Store(store.root)
    fresh.put = None  # type: ignore[assignment, method-assign]
    assert select(fresh, "recipe", chosen) == artifact


def test_a_damaged_artifact_is_not_selected_from(store: Store, tmp_path: Path) -> None:
    taken = ingest_tree(store, "overlay", overlay(tmp_path / "a"))
    path = store.place(taken) / "dev-libs/x/x-1.ebuild"
    path.chmod(0o644)
    path.write_text("EAPI=0\n")
    with pytest.raises(ColvertError) as caught:
        select(Store(store.root), "recipe", {"x": (taken, "dev-libs/x/x-1.ebuild")})
    assert caught.value.code is Code.STORE_CORRUPT


def test_links_inside_an_artifact_are_followed() -> None:
    links = {"a": "b", "b": "c/d", "x": "../x", "loop": "loop", "c/up": "../b"}
    items = {name: Item(name, Type.LINK, 0o777, target) for name, target in links.items()}
    items |= {name: Item(name, Type.FILE, 0o644, "") for name in ("c/d/file", "c/d")}
    assert resolve(items, "a/file") == resolve(items, "c/up/file") == "c/d/file"
    for name in ("x", "loop", "none", "a/none"):
        with pytest.raises(KeyError):
            resolve(items, name)
