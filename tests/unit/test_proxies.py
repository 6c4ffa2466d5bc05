"""Proxies of the environment: read as everybody reads them, and only when something is fetched."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from builder.errors import Code, ColvertError, Location
from builder.packages.fetch import Distfile, Fetcher
from builder.pipeline.events import Events
from builder.sandbox.debian import SUITE
from builder.sandbox.doctor import examine
from builder.sandbox.home import open_home
from builder.sandbox.proxies import Client, environment, proxy_for
from builder.sandbox.sdk import recipe_digest
from tests.build.places import open_place
from tests.server import Files, Handler, serve

SECRET = "s3cr3t"
KINDS = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KINDS:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def proxy() -> Iterator[Files]:
    with serve(Files()) as made:
        yield made


@pytest.mark.parametrize(
    ("variables", "http", "https"),
    [
        ({}, None, None),
        ({"http_proxy": "http://one:1"}, "http://one:1", None),
        ({"HTTPS_PROXY": "http://one:1"}, None, "http://one:1"),
        ({"all_proxy": "one:1"}, "http://one:1", "http://one:1"),
        ({"ALL_PROXY": "http://one:1", "https_proxy": "https://two"}, "http://one:1", "https://two"),
        ({"http_proxy": "http://one:1", "HTTP_PROXY": "http://two:2"}, "http://one:1", None),
        ({"http_proxy": "", "HTTP_PROXY": "http://two:2"}, None, None),
        ({"http_proxy": "host:3128"}, "http://host:3128", None),
        ({"all_proxy": "one:1", "no_proxy": "example.org"}, None, None),
        ({"all_proxy": "one:1", "NO_PROXY": ".example.org,localhost"}, None, None),
        ({"all_proxy": "one:1", "no_proxy": "*"}, None, None),
        ({"all_proxy": "one:1", "no_proxy": "other.org, example.com"}, "http://one:1", "http://one:1"),
        # what desktops set: the one that cannot be used is not used
        (
            {"all_proxy": "socks5://x:1", "http_proxy": "a:1", "https_proxy": "a:1"},
            "http://a:1",
            "http://a:1",
        ),
    ],
)
def test_variables(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], http: str | None, https: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy_for("http://www.example.org/x") == http
    assert proxy_for("https://user:pw@www.example.org:8443/x") == https


def test_no_proxy_takes_addresses_and_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "proxy:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1,::1,host:81")
    near = ["http://127.0.0.1:18097/x", "http://[::1]:80/x", "http://host:81/"]
    assert [proxy_for(address) for address in near] == [None] * 3
    assert proxy_for("http://host:82/") == "http://proxy:1"


@pytest.mark.parametrize(
    "value", ["socks5://host:1080", "http://", "http://host:port", "ftp://x", "http://[", "a b"]
)
def test_a_variable_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    for call in (lambda: proxy_for("https://host/"), environment):
        with pytest.raises(ColvertError) as caught:
            call()
        assert caught.value.code is Code.USAGE
        assert "ALL_PROXY" in caught.value.what


def test_programs_get_each_variable_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment() == {}
    monkeypatch.setenv("ALL_PROXY", "proxy:3128")
    monkeypatch.setenv("https_proxy", f"http://user:{SECRET}@other:1")
    monkeypatch.setenv("NO_PROXY", "near.example")
    assert environment() == {
        "http_proxy": "http://proxy:3128",
        "https_proxy": f"http://user:{SECRET}@other:1",
        "no_proxy": "near.example",
    }


def pinned(*uris: str) -> Distfile:
    return Distfile("source.tar", 4, "00", "00", uris, Location("Manifest", 1))


@pytest.mark.parametrize("value", ["host:3128", "socks5://host:1"])
def test_nothing_is_said_before_something_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("http_proxy", value)
    fetcher = Fetcher(tmp_path, "http://127.0.0.1:9", Events())
    fetcher.fetch_all([])
    if value.startswith("socks5"):
        with pytest.raises(ColvertError) as caught:
            fetcher.fetch_all([pinned("http://host.example/a"), pinned("http://host.example/b")])
        assert caught.value.code is Code.USAGE
        assert not caught.value.others


def test_a_source_comes_through_the_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: Files
) -> None:
    proxy.files["http://host.example/source.tar"] = b"data"
    monkeypatch.setenv("http_proxy", proxy.url.removeprefix("http://"))
    path = Fetcher(tmp_path, "", Events()).trust("x", ("http://host.example/source.tar",), tmp_path)
    assert path.read_bytes() == b"data"
    assert proxy.asked == ["GET http://host.example/source.tar"]


def test_a_proxy_and_a_place_get_their_own_passwords(monkeypatch: pytest.MonkeyPatch, proxy: Files) -> None:
    seen: list[tuple[str | None, str | None]] = []

    def note(handler: Handler) -> None:
        seen.append((handler.headers["Proxy-Authorization"], handler.headers["Authorization"]))
        handler.answer(200)

    proxy.behave[""] = note
    monkeypatch.setenv("http_proxy", f"http://us%40er:{SECRET}@127.0.0.1:{proxy.port}")
    client = Client(urllib3.Retry(1))
    client.request("GET", "http://me:pw@host.example/x", timeout=10)
    client.request("GET", "http://host.example/x", timeout=10)
    ours = "Basic " + base64.b64encode(f"us@er:{SECRET}".encode()).decode()
    assert seen == [(ours, "Basic " + base64.b64encode(b"me:pw").decode()), (ours, None)]


def test_a_proxy_that_does_not_answer_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://user:{SECRET}@127.0.0.1:9")
    fetcher = Fetcher(tmp_path, "", Events())
    with pytest.raises(ColvertError) as caught:
        fetcher.fetch(pinned(f"http://me:{SECRET}@host.example/a?token={SECRET}"))
    assert caught.value.code is Code.FETCH_FAILED
    assert caught.value.detail == (
        "http://host.example/a?token=***: the proxy http://127.0.0.1:9 does not answer",
    )


def test_an_address_that_is_none_is_an_answer(tmp_path: Path) -> None:
    with pytest.raises(ColvertError) as caught:
        Fetcher(tmp_path, "", Events()).fetch(pinned("http://[bad/x", "ftp://host/x"))
    assert [line.rpartition(": ")[2] for line in caught.value.detail] == ["not an HTTP URL"] * 2


def test_a_full_disk_is_not_blamed_on_the_server(tmp_path: Path, proxy: Files) -> None:
    proxy.files["a"] = b"data"
    uri = f"{proxy.url}/a"
    fetcher = Fetcher(tmp_path, "", Events())
    fetcher.part(pinned(uri), uri).symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space"):
        fetcher.fetch(pinned(uri))


def test_doctor_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_place() as place:
        made = open_home(place).sdk / recipe_digest()[:16]
        (made / "root/etc/apt").mkdir(parents=True)
        (made / "sdk.json").write_text('{"id": "x"}')
        (made / "root/etc/apt/sources.list").write_text(f"deb http://127.0.0.1:9 {SUITE} main\n")
        monkeypatch.setenv("http_proxy", f"socks5://user:{SECRET}@host:1")
        (finding,) = [item for item in examine(place) if item.subject == "Debian mirror"]
    assert not finding.ok
    assert "http_proxy" in finding.text
    assert SECRET not in finding.text + finding.remedy
