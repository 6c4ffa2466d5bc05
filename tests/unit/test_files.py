"""Files written whole or not at all; copies that share nothing that could be written."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from builder.errors import ColvertError
from builder.pipeline.files import clone, write_atomic

MIB = 1 << 20


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"one", 0o600)
    with path.open("rb") as reader:
        write_atomic(path, b"two")
        assert reader.read() == b"one"
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["file"]


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"one")
    with pytest.raises(TypeError):
        write_atomic(path, "text")  # type: ignore[arg-type]
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["file"]


def test_a_clone_has_mode_and_holes_and_is_no_hard_link(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as stream:
        stream.write(b"begin")
        stream.seek(64 * MIB)
        stream.write(b"middle")
        stream.truncate(128 * MIB)
    source.chmod(0o4750)
    clone(source, target)
    assert target.stat().st_size == 128 * MIB
    assert target.stat().st_blocks * 512 < MIB
    assert target.read_bytes() == source.read_bytes()
    assert stat.S_IMODE(target.stat().st_mode) == 0o4750
    assert (source.stat().st_nlink, target.stat().st_nlink) == (1, 1)
    with pytest.raises(FileExistsError):
        clone(source, target)
    clone(source, tmp_path / "closed", 0o400)
    assert stat.S_IMODE((tmp_path / "closed").stat().st_mode) == 0o400


@pytest.mark.parametrize("content", [b"", b"x", bytes(3 * MIB), os.urandom(3 * MIB + 1)])
def test_a_clone_is_equal(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "source").write_bytes(content)
    clone(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == content


def test_a_link_is_not_cloned(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(ColvertError, match="symbolic link"):
        clone(tmp_path / "link", tmp_path / "target")
    assert not (tmp_path / "target").exists()
