"""What repositories say of themselves, in files that anybody wrote, is checked before it is used."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import Code, ColvertError, Location
from builder.packages.repository import (
    LAYOUT_FILE,
    MAX_SIZE,
    NAME_FILE,
    Layout,
    check_distinct,
    check_files,
    check_masters,
    check_profile,
    name_problem,
    read_layout,
    read_repository_name,
)
from builder.pipeline.files import write_atomic
from builder.pipeline.reading import read_regular


def repository(path: Path, name: str | bytes = "mine", layout: str | bytes | None = None) -> Path:
    for file, content in ((NAME_FILE, name), (LAYOUT_FILE, layout)):
        (path / file).parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            (path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def failure(call: Callable[[], object]) -> ColvertError:
    with pytest.raises(ColvertError) as caught:
        call()
    assert caught.value.exit == 2
    return caught.value


@pytest.mark.parametrize("name", ["mine", "my-overlay", "_x", "9", "x86-1xy", "a-1-b", "Gentoo_2", "mine-"])
def test_a_name(tmp_path: Path, name: str) -> None:
    assert read_repository_name(repository(tmp_path, f"{name}\n")) == name


@pytest.mark.parametrize(
    "name",
    [
        "../../outside", "/etc/cron.d", "..", ".", "a/b", "-x", "a b", "a\n[other]\nlocation = /", "a]\nb",
        "ü", "x-1", "x-1.2", "x-1a", "x-2_p3", "x-1-r4", "DEFAULT", "", "\n", "a\0b", "a\\b", "a:b", "a+b",
        "\x1b[2J",
    ],
)  # fmt: skip
def test_a_name_that_cannot_be(tmp_path: Path, name: str) -> None:
    error = failure(lambda: read_repository_name(repository(tmp_path, name)))
    assert error.code is Code.OVERLAY_INVALID
    assert error.where == Location(str(tmp_path / NAME_FILE), 1)


@given(st.text(max_size=20))
def test_a_name_is_one_plain_part_of_a_path(name: str) -> None:
    if not name_problem(name):
        assert Path("/x", name).parent == Path("/x")
        assert name not in (".", "..", "DEFAULT") and name.isascii() and "\n" not in name


def test_a_directory_without_a_name_is_no_repository(tmp_path: Path) -> None:
    error = failure(lambda: read_repository_name(tmp_path))
    assert (error.code, error.where) == (Code.OVERLAY_MISSING, Location(str(tmp_path)))


@pytest.mark.parametrize("file", [NAME_FILE, LAYOUT_FILE])
def test_files_that_are_none(tmp_path: Path, file: str) -> None:
    def make_socket(path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))

    makers: list[Callable[[Path], object]] = [
        os.mkfifo,
        make_socket,
        Path.mkdir,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to(path.name),
        lambda path: path.write_bytes(b"x" * (MAX_SIZE + 1)),
        lambda path: path.write_bytes("é".encode("latin-1")),
    ]
    reader = read_repository_name if file == NAME_FILE else read_layout
    for number, make in enumerate(makers):
        path = repository(tmp_path / str(number))
        (path / file).unlink(missing_ok=True)
        make(path / file)
        error = failure(lambda path=path: reader(path))  # type: ignore[misc]
        assert error.code is Code.OVERLAY_INVALID
        assert error.where and error.where.file == str(path / file)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_cannot_be_read_is_not_taken_for_missing(tmp_path: Path) -> None:
    path = repository(tmp_path)
    (path / NAME_FILE).chmod(0)
    assert failure(lambda: read_repository_name(path)).code is Code.OVERLAY_INVALID


@pytest.mark.parametrize(
    ("text", "masters"),
    [
        (None, ()),
        ("", ()),
        ("masters =", ()),
        ("masters = colvert", ("colvert",)),
        ("# masters = no\n\nthin-manifests = true\nmasters=base colvert # the base\n", ("base", "colvert")),
        ("masters = a\r\nx = =\r\n", ("a",)),
    ],
)
def test_masters(tmp_path: Path, text: str | None, masters: tuple[str, ...]) -> None:
    assert read_layout(repository(tmp_path, layout=text)) == Layout(masters)


def test_masters_that_cannot_be(tmp_path: Path) -> None:
    error = failure(lambda: read_layout(repository(tmp_path, layout="\nmasters = ok ../x /y\n")))
    assert error.code is Code.OVERLAY_INVALID
    assert error.where == Location(str(tmp_path / LAYOUT_FILE), 2)
    assert len(error.others) == 1


def test_two_of_one_name_are_told_with_both_places() -> None:
    first, second = Location("os.yaml", 3, 5), Location("os.yaml", 4, 5)
    check_distinct([("a", first), ("b", second)])
    error = failure(lambda: check_distinct([("a", first), ("a", second)]))
    assert (error.code, error.where) == (Code.OVERLAY_INVALID, second)
    assert str(first) in error.what


def test_masters_stand_before() -> None:
    check_masters("mine", ["colvert"], ["colvert"], Location("x"))
    error = failure(lambda: check_masters("mine", ["colvrt"], ["colvert"], Location("x")))
    assert error.code is Code.OVERLAY_MISSING
    assert "did you mean 'colvert'" in error.what


def test_a_profile_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "profiles/colvert/amd64").mkdir(parents=True)
    (tmp_path / "profiles/colvert/amd64/parent").touch()
    check_profile(tmp_path, "colvert/amd64", Location("x"))
    error = failure(lambda: check_profile(tmp_path, "colvert/amd46", Location("os.yaml", 2, 1)))
    assert error.where == Location("os.yaml", 2, 1)
    assert "did you mean 'colvert/amd64'" in error.what


def test_a_repository_holds_files_only(tmp_path: Path) -> None:
    path = repository(tmp_path)
    (path / "link").symlink_to("nowhere")
    (path / ".git").mkdir()
    os.mkfifo(path / ".git/fsmonitor")
    check_files(path)
    (path / "app-misc/ff").mkdir(parents=True)
    os.mkfifo(path / "app-misc/ff/pipe")
    error = failure(lambda: check_files(path))
    assert error.code is Code.OVERLAY_INVALID
    assert error.where == Location(str(path / "app-misc/ff/pipe"))
    assert "FIFO" in error.what


def test_only_what_is_missing_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"ab")
    for path in (tmp_path / "none", tmp_path / "file/below"):
        with pytest.raises(FileNotFoundError):
            read_regular(path, 1, Code.USAGE)
    assert read_regular(tmp_path / "file", 2, Code.USAGE) == b"ab"
    assert failure(lambda: read_regular(tmp_path / "file", 1, Code.USAGE)).where
    assert failure(lambda: read_regular(tmp_path, 1, Code.USAGE)).where


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"one")
    write_atomic(path, b"two", mode=0o600)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"two", 0o600)
    with pytest.raises(TypeError):
        write_atomic(path, "no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"two"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]
