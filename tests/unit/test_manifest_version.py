"""Versions from git, in repositories made here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pygit2
import pytest

from builder.errors import Code, ColvertError
from builder.manifest.load import load
from builder.manifest.version import LONGEST_LABEL, MAX_VERSION, Revision, check, revision
from builder.updates.order import newer, order_key

# 2026-11-22 23:59:50 UTC, which is another day where the committer is
SECONDS = 1795391990
MANIFEST = "id: a\nname: A\nversion: git\n"


@pytest.fixture
def repository(tmp_path: Path) -> pygit2.Repository:
    made = pygit2.init_repository(str(tmp_path))
    (tmp_path / "os.yaml").write_text(MANIFEST)
    (tmp_path / ".gitignore").write_text("/out/\n")
    commit(made)
    return made


def commit(repository: pygit2.Repository, seconds: int = SECONDS) -> str:
    who = pygit2.Signature("A", "a@example.org", seconds, 120)
    repository.index.add_all()
    repository.index.write()
    parents = [] if repository.head_is_unborn else [repository.head.target]
    tree = repository.index.write_tree()
    return str(repository.create_commit("HEAD", who, who, "change", tree, parents))


def version(repository: pygit2.Repository) -> str:
    found = revision(Path(repository.workdir))
    assert found is not None
    return found.version


def test_a_commit_is_its_time(repository: pygit2.Repository) -> None:
    loaded = load(Path(repository.workdir) / "os.yaml")
    assert loaded.commit == str(repository.head.target)
    assert loaded.version == "261122.235950"
    assert (loaded.epoch, loaded.dirty) == (SECONDS, False)


def test_a_tag_is_its_version(repository: pygit2.Repository) -> None:
    who = pygit2.Signature("A", "a@example.org", SECONDS, 0)
    head = str(repository.head.target)
    repository.references.create("refs/tags/v1.9.0", head)
    repository.create_tag("v1.10.0", head, pygit2.enums.ObjectType.COMMIT, who, "annotated")
    repository.references.create("refs/tags/v2", head)
    repository.references.create("refs/tags/v9.9.9-rc1", head)
    assert version(repository) == "1.10.0"
    (Path(repository.workdir) / "new").write_text("")
    commit(repository)
    assert version(repository).startswith("261122.")


def test_changes_never_look_like_a_release(repository: pygit2.Repository) -> None:
    repository.references.create("refs/tags/v1.0.0", str(repository.head.target))
    work = Path(repository.workdir)
    (work / "out").mkdir()
    (work / "out" / "disk.raw").write_text("ignored")
    assert version(repository) == "1.0.0"
    (work / "overlay").mkdir()
    (work / "overlay" / "new.ebuild").write_text("EAPI=8")
    assert version(repository) == "261122.dirty"
    commit(repository)
    (work / "os.yaml").write_text(MANIFEST + "locales: []\n")
    assert version(repository) == "261122.dirty"


def test_a_later_commit_is_newer(repository: pygit2.Repository) -> None:
    made = [version(repository)]
    for later in (1, 9, 10, 3600, 86400):
        commit(repository, SECONDS + later)
        made.append(version(repository))
    assert made[1] == "261122.235951" and made[2] == "261122.235959" and made[3] == "261123.000000"
    assert sorted(made, key=order_key) == made
    assert newer(made[0], "261122.dirty"), "what was not committed is older than what was"


def test_git_without_a_commit_says_nothing(tmp_path: Path) -> None:
    pygit2.init_repository(str(tmp_path))
    assert revision(tmp_path) is None


def test_a_fixed_version_may_use_the_commit(repository: pygit2.Repository) -> None:
    path = Path(repository.workdir) / "os.yaml"
    path.write_text(MANIFEST.replace("git", "'2.{{ commit[:4] }}'"))
    commit(repository)
    assert load(path).version == f"2.{str(repository.head.target)[:4]}"


def test_every_version_fits_its_label() -> None:
    assert len(LONGEST_LABEL + "261122.235950") == 36
    assert len("261122.dirty") <= MAX_VERSION
    for good in ("1.0.0", "261122.235950", "4152.0.0"):
        assert check(good) == good
    for bad in (
        "",
        "v1.0",
        "1.0-1",
        "1.0+3",
        "1_0",
        "1..0",
        "1.",
        "1~rc1",
        "1.0 ",
        "20261122.1a2b3",
        "1/2",
        "١.0",
    ):
        with pytest.raises(ValueError):
            check(bad)


def git(place: Path, *words: str) -> None:
    name = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", "-C", str(place), *name, *words], check=True, capture_output=True)


@pytest.fixture
def cloned(repository: pygit2.Repository, tmp_path: Path) -> Path:
    """A clone of a repository with two folders and a tag; git's own, and the caller's."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_text(folder)
    commit(repository)
    repository.references.create("refs/tags/v1.2.3", repository.head.target)
    git(tmp_path, "clone", "-q", str(tmp_path), str(tmp_path / "out/clone"))
    return tmp_path / "out/clone"


SHAPES: dict[str, list[tuple[str, ...]]] = {
    "sparse": [("sparse-checkout", "set", "one")],
    "sparse index": [("sparse-checkout", "set", "--sparse-index", "one")],
    "split index": [("update-index", "--split-index")],
    "as usual": [],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_checkouts_of_every_shape_are_read(cloned: Path, shape: str) -> None:
    for words in SHAPES[shape]:
        git(cloned, *words)
    assert revision(cloned / "one") == Revision("1.2.3", head(cloned), SECONDS, False)
    (cloned / "one/file").write_text("changed")
    assert revision(cloned) == Revision("261122.dirty", head(cloned), SECONDS, True)


def head(place: Path) -> str:
    words = ["git", "-C", str(place), "rev-parse", "HEAD"]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def test_a_repository_with_sha_256_is_read(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--object-format=sha256")
    (tmp_path / "file").write_text("")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    found = revision(tmp_path)
    assert found is not None
    assert (found.commit, found.dirty) == (head(tmp_path), False)


def test_a_repository_that_nobody_can_read_is_told_once(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".git/config").write_text("[core]\n\trepositoryformatversion = 99\n")
    (tmp_path / "os.yaml").write_text(MANIFEST + "epoch: git\n")
    with pytest.raises(ColvertError) as caught:
        load(tmp_path / "os.yaml")
    assert caught.value.code is Code.MANIFEST_INVALID
    assert caught.value.detail
    assert caught.value.others == ()
