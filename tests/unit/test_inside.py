"""Writing below a directory: nothing beneath it leads out of it."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.errors import Code, ColvertError
from builder.pipeline import inside as module
from builder.pipeline.inside import Inside

NO_SUCH_CALL = 9999


@pytest.fixture(params=["openat2", "by component"])
def inside(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Inside]:
    """A directory beside a victim, on a kernel with openat2 and on one that says ENOSYS."""
    if request.param != "openat2":
        monkeypatch.setattr(module, "OPENAT2", NO_SUCH_CALL)
    for name in ("root", "victim"):
        (tmp_path / name).mkdir()
    with Inside(tmp_path / "root", whose=lambda name: f"the owner of {name}") as found:
        yield found


def refused(error: pytest.ExceptionInfo[ColvertError], *words: str) -> None:
    assert error.value.code is Code.IMAGE_INVALID
    for word in words:
        assert word in error.value.what


def test_what_is_made_has_the_modes_given(inside: Inside) -> None:
    old = os.umask(0o077)
    try:
        inside.write("a/b/file", b"text", 0o4755)
        inside.make_directory("a/dir", 0o1777)
        inside.symlink("nowhere", "a/link")
    finally:
        os.umask(old)
    modes = {
        name: stat.S_IMODE((inside.root / name).stat().st_mode) for name in ("a", "a/b", "a/b/file", "a/dir")
    }
    assert modes == {"a": 0o755, "a/b": 0o755, "a/b/file": 0o4755, "a/dir": 0o1777}
    assert inside.read("a/b/file") == b"text"
    assert inside.readlink("a/link") == "nowhere"
    inside.chmod("a/b/file", 0)
    inside.chmod("a/b/file", 0o600)
    inside.make_directory("a/dir", 0o700)
    assert stat.S_IMODE((inside.root / "a/dir").stat().st_mode) == 0o700


@pytest.mark.parametrize("target", ["/VICTIM", "../victim", ".", "/", "file"])
@pytest.mark.parametrize("below", ["x", "deep/er/x"])
def test_a_link_is_no_directory(inside: Inside, tmp_path: Path, target: str, below: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"source")
    inside.write("file", b"")
    inside.symlink(target.replace("/VICTIM", str(tmp_path / "victim")), "usr/evil")
    for act in (
        lambda name: inside.write(name, b""),
        lambda name: inside.copy(source, name),
        lambda name: inside.symlink("x", name),
        inside.make_directory,
        inside.remove,
        inside.read,
        inside.readlink,
        inside.stat,
        lambda name: inside.chmod(name, 0o777),
    ):
        with pytest.raises(ColvertError) as caught:
            act(f"usr/evil/{below}")
        refused(caught, "/usr/evil is a symbolic link", "the owner of usr/evil")
    assert os.listdir(tmp_path / "victim") == []
    assert sorted(os.listdir(inside.root)) == ["file", "usr"]


def test_the_last_component_is_not_followed(inside: Inside, tmp_path: Path) -> None:
    victim = tmp_path / "victim/file"
    victim.write_bytes(b"before")
    victim.chmod(0o640)
    inside.symlink(str(victim), "link")
    with pytest.raises(FileExistsError):
        inside.write("link", b"after")
    with pytest.raises(FileExistsError):
        inside.copy(victim, "link")
    with pytest.raises(OSError, match="symbolic links"):
        inside.chmod("link", 0o777)
    with pytest.raises(ColvertError, match="/link is a symbolic link"):
        inside.read("link")
    with pytest.raises(ColvertError, match="/link is a symbolic link"):
        inside.make_directory("link")
    inside.remove("link")
    assert victim.read_bytes() == b"before"
    assert stat.S_IMODE(victim.stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["", "/", "/etc/x", "../x", "a/../../x", "a//x", "./x", "a/", "x\0y"])
def test_only_plain_names(inside: Inside, name: str) -> None:
    with pytest.raises(ColvertError) as caught:
        inside.write(name, b"")
    refused(caught, "is not a path below")
    assert os.listdir(inside.root) == []


def test_a_file_is_no_directory(inside: Inside) -> None:
    inside.write("file", b"")
    with pytest.raises(ColvertError) as caught:
        inside.write("file/x", b"")
    refused(caught, "/file is a file of the owner of file")


def test_a_copy_is_no_second_name(inside: Inside, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"one")
    source.chmod(0o4711)
    inside.copy(source, "own")
    inside.copy(source, "dir/given", 0o600)
    assert stat.S_IMODE((inside.root / "own").stat().st_mode) == 0o4711
    assert stat.S_IMODE((inside.root / "dir/given").stat().st_mode) == 0o600
    assert source.stat().st_nlink == 1
    with pytest.raises(FileExistsError):
        inside.copy(source, "own")
    (inside.root / "own").write_bytes(b"two")
    assert source.read_bytes() == b"one"


def test_what_is_no_file_is_not_copied_and_nothing_waits(inside: Inside, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/etc/passwd")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for name, word in (
            ("fifo", "FIFO"),
            ("socket", "socket"),
            ("link", "symbolic link"),
            ("victim", "directory"),
        ):
            with pytest.raises(ColvertError) as caught:
                inside.copy(tmp_path / name, name)
            refused(caught, f"is a {word}, not a regular file")
    assert os.listdir(inside.root) == []


def test_a_file_that_cannot_be_written_is_gone(inside: Inside) -> None:
    with pytest.raises(TypeError):
        inside.write("broken", "no bytes")  # type: ignore[arg-type]
    assert inside.stat("broken") is None


PARTS = st.sampled_from(["a", "b", "c"])
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
TARGETS = st.one_of(NAMES, st.sampled_from(["..", "../..", "../victim", "/VICTIM", "/VICTIM/kept", "/"]))
ACTIONS = st.tuples(
    st.sampled_from(["write", "copy", "symlink", "make_directory", "remove", "chmod"]), NAMES, TARGETS
)


@pytest.mark.parametrize("call", [module.OPENAT2, NO_SUCH_CALL])
@given(actions=st.lists(ACTIONS, max_size=30))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_outside_changes(
    call: int, monkeypatch: pytest.MonkeyPatch, actions: list[tuple[str, str, str]]
) -> None:
    monkeypatch.setattr(module, "OPENAT2", call)
    with TemporaryDirectory() as work:
        top = Path(work)
        for name in ("root", "victim"):
            (top / name).mkdir()
        kept = top / "victim/kept"
        kept.write_bytes(b"kept")
        kept.chmod(0o640)
        before = snapshot(top)
        with Inside(top / "root") as inside:
            for action, name, target in actions:
                with suppress(ColvertError, OSError):
                    perform(inside, action, name, target.replace("/VICTIM", str(top / "victim")), kept)
        assert snapshot(top) == before


def perform(inside: Inside, action: str, name: str, target: str, source: Path) -> None:
    match action:
        case "write":
            inside.write(name, b"written")
        case "copy":
            inside.copy(source, name)
        case "symlink":
            inside.symlink(target, name)
        case "make_directory":
            inside.make_directory(name, 0o700)
        case "remove":
            inside.remove(name)
        case "chmod":
            inside.chmod(name, 0o777)


def snapshot(top: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """All that is beside the root, links not followed; the root itself only as a name."""
    found = {}
    for directory, folders, files in os.walk(top):
        if directory == str(top):
            folders.remove("root")
        for name in (*folders, *files):
            path = Path(directory) / name
            status = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
            found[str(path)] = (status.st_mode, status.st_nlink, status.st_mtime_ns, content)
    return found
