"""Tar streams depend on content alone."""

from __future__ import annotations

import os
import tarfile
import time
from pathlib import Path

from builder.formats.tar import write_tar

FILES = {"a/x": "same", "a/y": "same", "b": "other", "c/d/e": "", "c/z": "same size"}


def fill(root: Path, names: list[str], *, linked: bool) -> Path:
    root.mkdir()
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FILES[name])
        path.chmod(0o644)
    for folder in ("a", "c", "c/d"):
        (root / folder).chmod(0o755)
    root.chmod(0o755)
    if linked:
        (root / "a/y").unlink()
        os.link(root / "a/x", root / "a/y")
    (root / "l").symlink_to("a/x")
    return root


def test_order_owner_time_and_hard_links_do_not_matter(tmp_path: Path) -> None:
    one = fill(tmp_path / "one", list(FILES), linked=False)
    two = fill(tmp_path / "two", list(reversed(FILES)), linked=True)
    os.utime(two / "b", (1, 1))
    first = write_tar(one, tmp_path / "1.tar", epoch=5)
    time.sleep(0.01)
    assert first == write_tar(two, tmp_path / "2.tar", epoch=5)
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()


def test_equal_files_are_links_unless_their_modes_differ(tmp_path: Path) -> None:
    root = fill(tmp_path / "one", list(FILES), linked=False)
    write_tar(root, tmp_path / "1.tar", epoch=5)
    with tarfile.open(tmp_path / "1.tar") as archive:
        assert archive.getmember("a/y").linkname == "a/x"
        assert {(m.uid, m.gid, m.mtime) for m in archive} == {(0, 0, 5)}
        assert archive.getmember("c/d/e").isreg(), "empty files stay apart"
    (root / "a/y").chmod(0o600)
    write_tar(root, tmp_path / "2.tar", epoch=5)
    with tarfile.open(tmp_path / "2.tar") as archive:
        assert archive.getmember("a/y").isreg()


def test_a_file_that_its_owner_may_not_read(tmp_path: Path) -> None:
    """Debian's /etc/shadow-, in an ordinary user's SDK; its mode stays, in the stream too."""
    folder = tmp_path / "root"
    folder.mkdir()
    for name in ("gshadow-", "shadow-"):
        (folder / name).write_text("secret")
        (folder / name).chmod(0)
    write_tar(folder, tmp_path / "root.tar", epoch=0)
    with tarfile.open(tmp_path / "root.tar") as archive:
        assert [(one.name, one.mode) for one in archive][1:] == [("gshadow-", 0), ("shadow-", 0)]
        content = archive.extractfile("gshadow-")
        assert content is not None
        assert content.read() == b"secret"
    assert (folder / "shadow-").stat().st_mode & 0o777 == 0
