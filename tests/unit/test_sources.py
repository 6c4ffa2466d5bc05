"""An export's index: whatever is damaged, missing or foreign is named, and nothing is built."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from builder.build.sources import INDEX, Index, open_sources, survey
from builder.cli.main import cli
from builder.errors import Code, ColvertError, Location
from builder.sandbox.home import open_home
from builder.sandbox.sdk import recipe_digest
from tests.build.places import workplace


@pytest.fixture
def export(tmp_path: Path) -> Path:
    root = tmp_path / "export"
    (root / "distfiles").mkdir(parents=True)
    (root / "distfiles/a.tar").write_bytes(b"source")
    (root / "manifest.yaml").write_text("id: x\nname: X\nversion: '1'\nepoch: 1\n")
    (root / "link").symlink_to("manifest.yaml")
    index = Index(
        version="1", epoch=1, commit="", dirty=False, text_digest="", sdk="s", recipe="r", items=survey(root)
    )
    (root / INDEX).write_text(index.text())
    return root


def refused(root: Path) -> ColvertError:
    with pytest.raises(ColvertError) as caught:
        open_sources(root)
    assert caught.value.code is Code.SOURCES_INVALID
    assert caught.value.exit == 2
    return caught.value


def test_a_whole_export_is_taken(export: Path) -> None:
    assert set(open_sources(export).index.items) == {"distfiles", "distfiles/a.tar", "manifest.yaml", "link"}
    assert CliRunner().invoke(cli, ["sources", "verify", str(export)]).exit_code == 0


def _relink(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to(os.devnull)


HARM: dict[str, Callable[[Path], object]] = {
    "distfiles/a.tar is damaged: its sha256": lambda root: (root / "distfiles/a.tar").write_bytes(b"sourcf"),
    "distfiles/a.tar is damaged: its size": lambda root: (root / "distfiles/a.tar").write_bytes(b"sour"),
    "manifest.yaml is missing": lambda root: (root / "manifest.yaml").unlink(),
    "more is not part of the export": lambda root: (root / "more").touch(),
    "link is damaged: its link": _relink,
    "manifest.yaml has mode 0600": lambda root: (root / "manifest.yaml").chmod(0o600),
}


@pytest.mark.parametrize("what", HARM)
def test_what_was_harmed_is_named(export: Path, what: str) -> None:
    HARM[what](export)
    assert refused(export).what.startswith(what)


def test_no_bit_of_the_index_goes_unnoticed(export: Path) -> None:
    whole = (export / INDEX).read_bytes()
    for length in range(0, len(whole) - 1, 37):
        (export / INDEX).write_bytes(whole[:length])
        refused(export)


@pytest.mark.parametrize("name", ["pipe", INDEX])
def test_a_fifo_in_an_export_is_refused_and_not_read(export: Path, name: str) -> None:
    (export / name).unlink(missing_ok=True)
    os.mkfifo(export / name)
    error = refused(export)
    assert "FIFO" in error.what
    assert error.where == Location(str(export / name))


def test_a_packed_export_is_to_be_unpacked(export: Path) -> None:
    assert "unpack" in refused(export / "manifest.yaml").hint


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"format": "colvert-sources/2"}', "\0"])
def test_a_foreign_index_is_refused(export: Path, text: str) -> None:
    (export / INDEX).write_text(text)
    refused(export)


def test_a_tar_is_to_be_unpacked_first(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"")
    assert "tar -xpf" in refused(tmp_path / "x.tar").hint


def test_an_index_with_a_name_of_its_own_is_refused(export: Path) -> None:
    data = json.loads((export / INDEX).read_text())
    data["items"]["../outside"] = {"mode": 420, "size": 0, "sha256": "0"}
    (export / INDEX).write_text(json.dumps(data))
    assert "../outside is missing" in refused(export).what


place = pytest.fixture(workplace)


def test_another_sdk_is_neither_taken_nor_replaced(export: Path, place: Path) -> None:
    home = open_home(place / "home")
    sources = open_sources(export)
    with pytest.raises(ColvertError) as caught:
        sources.install_sdk(home)
    assert caught.value.code is Code.SOURCES_INVALID
    there = home.sdk / recipe_digest()[:16]
    there.mkdir()
    (there / "sdk.json").write_text('{"id": "other"}')
    index = sources.index.model_copy(update={"recipe": recipe_digest()})
    with pytest.raises(ColvertError) as caught:
        type(sources)(sources.root, index).install_sdk(home)
    assert "--home" in caught.value.hint
    assert (there / "sdk.json").read_text() == '{"id": "other"}'


def test_a_build_from_a_damaged_export_begins_nothing(export: Path, tmp_path: Path) -> None:
    (export / "distfiles/a.tar").unlink()
    words = [
        "build",
        "--sources",
        str(export),
        "--home",
        str(tmp_path / "home"),
        "--out",
        str(tmp_path / "out"),
    ]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    assert "distfiles/a.tar is missing" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export"]
