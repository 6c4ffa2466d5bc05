"""Fetching: from a real HTTP server on loopback, with everything that can go wrong."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from builder.errors import Code, ColvertError, Location
from builder.packages import fetch
from builder.packages.fetch import Distfile, Fetcher, distfiles, read_manifest
from builder.pipeline.events import Events
from tests.server import Files, Handler, serve

DATA = bytes(range(256)) * 4096


@pytest.fixture
def server() -> Iterator[Files]:
    with serve(Files()) as made:
        yield made


def pinned(*uris: str, data: bytes = DATA) -> Distfile:
    hashes = hashlib.blake2b(data).hexdigest(), hashlib.sha512(data).hexdigest()
    return Distfile("source.tar", len(data), *hashes, uris, Location("Manifest", 1))


def fetcher(tmp_path: Path, server: Files | None = None, *mirrors: str) -> Fetcher:
    (tmp_path / "distfiles").mkdir(parents=True, exist_ok=True)
    return Fetcher(tmp_path / "distfiles", server.url if server else "http://127.0.0.1:9", Events(), mirrors)


def test_the_second_place_is_asked_when_the_first_has_not(tmp_path: Path, server: Files) -> None:
    server.files["pool/x.orig.tar"] = DATA
    wanted = pinned(f"{server.url}/gone.tar", "mirror://debian/pool/x.orig.tar")
    assert fetcher(tmp_path, server).fetch(wanted).read_bytes() == DATA
    assert server.asked == ["GET /gone.tar", "GET /pool/x.orig.tar"]


def test_a_broken_download_is_resumed(tmp_path: Path, server: Files) -> None:
    server.files["source.tar"] = DATA
    get = fetcher(tmp_path, server)
    wanted = pinned(f"{server.url}/source.tar")
    server.behave["source.tar"] = lambda handler: handler.send(DATA, until=1000)
    with pytest.raises(ColvertError):
        get.fetch(wanted)
    server.behave.clear()
    server.asked.clear()
    assert get.fetch(wanted).read_bytes() == DATA
    assert server.asked == ["GET /source.tar bytes=1000-"]
    assert [path.name for path in (tmp_path / "distfiles").iterdir() if path.is_file()] == ["source.tar"]


def test_what_one_place_sent_is_not_continued_at_another(tmp_path: Path, server: Files) -> None:
    """A portal's page with 200, shorter than the file; in this run and in the next one."""
    server.files["portal"] = b"<html>please log in</html>"
    server.files["good"] = DATA
    wanted = pinned(f"{server.url}/portal", f"{server.url}/good")
    assert fetcher(tmp_path, server).fetch(wanted).read_bytes() == DATA
    assert server.asked == ["GET /portal", "GET /good"]
    server.asked.clear()
    with pytest.raises(ColvertError) as caught:
        fetcher(tmp_path / "next", server).fetch(pinned(f"{server.url}/portal"))
    assert caught.value.code is Code.WRONG_DIGEST
    server.files["portal"] = DATA
    assert fetcher(tmp_path / "next", server).fetch(pinned(f"{server.url}/portal")).read_bytes() == DATA
    assert server.asked == ["GET /portal", "GET /portal"]


def test_a_file_that_changed_under_a_broken_download_is_fetched_from_its_start(
    tmp_path: Path, server: Files
) -> None:
    wanted = pinned(f"{server.url}/source.tar")
    server.behave["source.tar"] = lambda handler: handler.send(DATA[::-1], until=1000)
    with pytest.raises(ColvertError):
        fetcher(tmp_path, server).fetch(wanted)
    server.behave.clear()
    server.files["source.tar"] = DATA
    assert fetcher(tmp_path, server).fetch(wanted).read_bytes() == DATA


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "br"])
def test_the_bytes_are_kept_as_they_came(tmp_path: Path, server: Files, encoding: str) -> None:
    """Servers say that a .tar.gz is a tar in gzip: the Manifest pins the packed bytes."""
    packed = gzip.compress(DATA)
    server.files["x.tar.gz"] = packed
    server.behave["x.tar.gz"] = lambda handler: handler.answer(200, packed, Content_Encoding=encoding)
    wanted = pinned(f"{server.url}/x.tar.gz", data=packed)
    assert fetcher(tmp_path, server).fetch(wanted).read_bytes() == packed


def test_one_bad_address_does_not_condemn_its_host(tmp_path: Path, server: Files) -> None:
    server.files["good"] = DATA
    server.behave["loop"] = lambda handler: handler.answer(302, "", Location="/loop")
    server.behave["away"] = lambda handler: handler.answer(302, "", Location="http://127.0.0.1:9/x")
    wanted = pinned(*(f"{server.url}/{name}" for name in ("loop", "away", "good")))
    assert fetcher(tmp_path, server).fetch(wanted).read_bytes() == DATA


def silent(handler: Handler) -> None:
    handler.server_of.ended.wait(5)


def test_a_host_that_stays_silent_is_asked_for_two_files_at_most(
    tmp_path: Path, server: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT", urllib3.Timeout(connect=5, read=0.2))
    server.behave["silent"] = silent
    get = fetcher(tmp_path, server)
    for number in (1, 2, 3):
        with pytest.raises(ColvertError):
            get.fetch(pinned(f"{server.url}/{number}/silent"))
    assert {line.split("/")[1] for line in server.asked} == {"1", "2"}


@pytest.mark.parametrize("prefix", ["fetch+", "mirror+"])
def test_prefixes_of_eapi_8_are_no_part_of_an_address(tmp_path: Path, server: Files, prefix: str) -> None:
    server.files["x"] = DATA
    assert fetcher(tmp_path, server).fetch(pinned(f"{prefix}{server.url}/x")).read_bytes() == DATA


@pytest.mark.parametrize("served", [DATA[:-1] + b"!", DATA + b"more", b""])
def test_a_wrong_file_never_gets_in(tmp_path: Path, server: Files, served: bytes) -> None:
    server.files["source.tar"] = served
    with pytest.raises(ColvertError) as caught:
        fetcher(tmp_path, server).fetch(pinned(f"{server.url}/source.tar"))
    assert caught.value.code in (Code.WRONG_DIGEST, Code.FETCH_FAILED)
    assert caught.value.where == Location("Manifest", 1)
    assert not (tmp_path / "distfiles/source.tar").exists()


def test_a_wrong_mirror_does_not_hide_a_right_one(tmp_path: Path, server: Files) -> None:
    server.files["bad.tar"] = DATA[::-1]
    server.files["good.tar"] = DATA
    wanted = pinned(f"{server.url}/bad.tar", f"{server.url}/good.tar")
    assert fetcher(tmp_path, server).fetch(wanted).read_bytes() == DATA


def test_a_vanished_file_is_told_with_all_places(tmp_path: Path, server: Files) -> None:
    with pytest.raises(ColvertError) as caught:
        fetcher(tmp_path, server).fetch(pinned(f"{server.url}/a", "mirror://debian/b"))
    assert caught.value.code is Code.FETCH_FAILED
    assert len(caught.value.detail) == 2


def test_gone_is_only_what_the_debian_mirror_denies(tmp_path: Path, server: Files) -> None:
    denied = fetcher(tmp_path, server)
    with pytest.raises(ColvertError):
        denied.fetch(pinned("http://127.0.0.1:9/a", "mirror://debian/b"))
    assert denied.gone == {"source.tar"}
    # a network that is down says nothing of the file
    dead = fetcher(tmp_path)
    with pytest.raises(ColvertError):
        dead.fetch(pinned("mirror://debian/b"))
    assert dead.gone == set()


@pytest.mark.parametrize("uri", [False, True])
def test_a_folder_can_be_a_mirror(tmp_path: Path, uri: bool) -> None:
    folder = tmp_path / "my 100% #folder"
    folder.mkdir()
    (folder / "source.tar").write_bytes(DATA)
    get = fetcher(tmp_path, None, folder.as_uri() if uri else str(folder))
    assert get.fetch(pinned("http://127.0.0.1:9/source.tar")).read_bytes() == DATA


def test_a_changed_distfile_is_fetched_again(tmp_path: Path, server: Files) -> None:
    server.files["source.tar"] = DATA
    wanted = pinned(f"{server.url}/source.tar")
    fetcher(tmp_path, server).fetch(wanted).write_bytes(b"damaged")
    assert fetcher(tmp_path, server).fetch(wanted).read_bytes() == DATA


def test_all_failures_are_told_at_once(tmp_path: Path, server: Files) -> None:
    many = [Distfile(f"{n}.tar", 1, "00", "00", (f"{server.url}/{n}",), Location("M", n)) for n in (1, 2, 3)]
    with pytest.raises(ColvertError) as caught:
        fetcher(tmp_path, server).fetch_all(many)
    assert len(caught.value.others) == 2


@pytest.mark.parametrize("line", ["DIST x", "DIST x 12a BLAKE2B 0 SHA512 0", "DIST x 1 BLAKE2B", "DIST"])
def test_a_broken_manifest_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "Manifest").write_text(f"AUX ignored 1\n{line}\n")
    with pytest.raises(ColvertError) as caught:
        read_manifest(tmp_path / "Manifest")
    assert caught.value.where == Location(str(tmp_path / "Manifest"), 2)


def test_a_source_without_both_hashes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Manifest").write_text("DIST x.tar 1 SHA512 00\n")
    with pytest.raises(ColvertError) as caught:
        distfiles(tmp_path / "Manifest", {"x.tar": ()})
    assert caught.value.code is Code.WRONG_DIGEST
