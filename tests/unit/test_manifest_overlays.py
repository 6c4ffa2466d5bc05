"""Overlays from git: pinned, verified, read-only; whatever the server does, it is told at the line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pygit2
import pytest

from builder.errors import Code, ColvertError
from builder.manifest import transfer
from builder.manifest.load import load
from builder.manifest.model import GitOverlay
from builder.manifest.overlays import fetch_overlay
from builder.pipeline.lock import held
from tests.server import Files, Handler, serve

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


def fetch(tmp_path: Path, entry: str) -> Path:
    path = tmp_path / "os.yaml"
    path.write_text(f"id: a\nname: A\nversion: 1\nepoch: 1\noverlays:\n  - {entry}\n")
    loaded = load(path)
    (named,) = loaded.manifest.overlays
    assert isinstance(named, GitOverlay)
    return fetch_overlay(named, tmp_path / "cache", loaded.origin(("overlays", 0)))


def failure(tmp_path: Path, entry: str) -> ColvertError:
    with pytest.raises(ColvertError) as caught:
        fetch(tmp_path, entry)
    assert caught.value.where and (caught.value.where.line, caught.value.where.column) == (6, 5)
    return caught.value


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
    found = fetch(tmp_path, entry)
    assert (found / "profiles" / "repo_name").read_text() == "theirs\n"
    assert found.name == str(pygit2.Repository(str(source))[pinned].peel(pygit2.Tree)["repos/theirs"].id)
    assert sorted(os.listdir(found)) == ["link", "profiles", "tool"]
    assert (found / "tool").stat().st_mode & 0o777 == 0o555
    assert (found / "profiles" / "repo_name").stat().st_mode & 0o777 == 0o444
    assert found.stat().st_mode & 0o777 == 0o555
    # what is in the cache needs the repository no more
    source.rename(tmp_path / "gone")
    assert fetch(tmp_path, entry) == found


def test_git_that_cannot_give_the_commit(tmp_path: Path) -> None:
    source = overlay(tmp_path / "source", "theirs")
    pinned = commit(source)
    uri = source.as_uri()
    tree = str(pygit2.Repository(str(source))[pinned].peel(pygit2.Tree).id)
    for rest in ("0" * 40, tree, f"{pinned}, path: lost"):
        assert failure(tmp_path, f"{{git: '{uri}', commit: {rest}}}").code is Code.OVERLAY_MISSING
    assert failure(tmp_path, f"{{git: '{uri}-lost', commit: {pinned}}}").code is Code.FETCH_FAILED


def test_a_link_out_of_the_overlay_is_refused(tmp_path: Path) -> None:
    source = overlay(tmp_path / "source", "theirs")
    (source / "profiles" / "link").symlink_to("../../etc/passwd")
    entry = f"{{git: '{source.as_uri()}', commit: {commit(source)}}}"
    assert failure(tmp_path, entry).code is Code.OVERLAY_MISSING
    assert not list((tmp_path / "cache" / "overlays").iterdir())


# --- servers that do not do what they should ------------------------------------------

SECRET = "s3cr3t"


@contextmanager
def listening(answer: Callable[[socket.socket], None] = lambda connection: None) -> Iterator[int]:
    """A server that takes connections, each with what `answer` makes of it; its port."""
    connections = []

    def accept(server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            connections.append(connection)
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, args=(server,), daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for connection in connections:
            connection.close()


def drip(connection: socket.socket) -> None:
    """A byte now and then, of an answer that never begins to make sense."""
    try:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            connection.sendall(b"x")
            time.sleep(0.2)
    except OSError:
        pass


@pytest.mark.parametrize("scheme", ["git", "http", "https", "ssh"])
@pytest.mark.parametrize("answer", [lambda connection: None, drip], ids=["silent", "drip"])
def test_a_server_that_does_not_answer_is_given_up(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    answer: Callable[[socket.socket], None],
) -> None:
    monkeypatch.setattr(transfer, "SILENT_SECONDS", 1.0)
    with listening(answer) as port:
        address = f"{scheme}://user:{SECRET}@127.0.0.1:{port}/x.git"
        began = time.monotonic()
        error = failure(tmp_path, f"{{git: '{address}', commit: {'0' * 40}}}")
    assert time.monotonic() - began < 20
    assert error.code is Code.FETCH_FAILED
    assert f"127.0.0.1:{port}/x.git" in error.what
    assert SECRET not in str(error)
    (mirror,) = (tmp_path / "cache/git").glob("*.lock")
    with held(mirror, wait=False) as free:
        assert free


def test_a_transfer_that_stops_on_its_way_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "SILENT_SECONDS", 1.0)

    def stop(handler: Handler) -> None:
        handler.head(200, 1000, Content_Type="application/x-git-upload-pack-advertisement")
        handler.wfile.write(b"001e# service=git-upload-pack\n0000")
        handler.wfile.flush()
        handler.server_of.ended.wait(60)

    with serve(Files(behave={"": stop})) as server:
        error = failure(tmp_path, f"{{git: '{server.url}/x.git', commit: {'0' * 40}}}")
    assert error.code is Code.FETCH_FAILED


def test_an_interrupt_ends_a_transfer(tmp_path: Path) -> None:
    program = (
        # a shell starts what runs in the background with SIGINT ignored
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from builder.manifest.transfer import Transfer, transfer;"
        "transfer(Transfer(sys.argv[1], sys.argv[2], ('x',)))"
    )
    pygit2.init_repository(str(tmp_path / "mirror"), bare=True)
    came = threading.Event()
    with listening(lambda connection: came.set()) as port:
        words = [sys.executable, "-c", program, str(tmp_path / "mirror"), f"git://127.0.0.1:{port}/x"]
        with subprocess.Popen(words, stderr=subprocess.PIPE, start_new_session=True) as process:
            assert came.wait(30)
            began = time.monotonic()
            os.killpg(process.pid, signal.SIGINT)
            _, told = process.communicate(timeout=20)
    assert time.monotonic() - began < 5
    assert b"KeyboardInterrupt" in told


def test_no_password_stays_in_the_cache(tmp_path: Path) -> None:
    source = overlay(tmp_path / "source", "theirs")
    pinned = commit(source)
    address = f"{source.as_uri()}/../source?token={SECRET}"
    with pytest.raises(ColvertError):
        fetch(tmp_path, f"{{git: '{address}', commit: {pinned}}}")
    fetch(tmp_path, f"{{git: '{source.as_uri()}', commit: {pinned}}}")
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert files
    assert not any(path.name == "FETCH_HEAD" for path in files)
    assert not any(SECRET.encode() in path.read_bytes() for path in files)


def test_all_proxy_counts_where_no_other_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        for spelled in (name, name.upper()):
            monkeypatch.delenv(spelled, raising=False)
    assert transfer._proxy("https://host/x") is True
    monkeypatch.setenv("ALL_PROXY", "proxy:3128")
    monkeypatch.setenv("no_proxy", "near.example")
    assert transfer._proxy("https://host/x") == "http://proxy:3128"
    assert transfer._proxy("https://near.example/x") is True
    assert transfer._proxy("ssh://host/x") is True
    monkeypatch.setenv("https_proxy", "http://other:1")
    assert transfer._proxy("https://host/x") is True
