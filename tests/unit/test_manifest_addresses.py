"""Addresses lose what is secret in them and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import Code, ColvertError
from builder.manifest.load import load
from builder.manifest.show import show_json, show_yaml
from builder.texts import public, public_error, public_text

SECRET = "s3cr3tTOKEN"


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        (f"https://user:{SECRET}@host.example/x.git", "https://host.example/x.git"),
        (f"https://{SECRET}@host.example/x.git", "https://host.example/x.git"),
        (f"http://user:{SECRET}@127.0.0.1:9/x.git", "http://127.0.0.1:9/x.git"),
        (f"https://user:{SECRET}@[::1]:8443/x", "https://[::1]:8443/x"),
        (f"HTTPS://u:p@{SECRET}@host/x", "HTTPS://host/x"),
        (f"https://user:{SECRET}/y@host/x", "https://host/x"),
        (f"https://user:{SECRET}?y@host/x", "https://host/x"),
        (f"https://user:{SECRET}", "https://***"),
        (f"ssh://git:{SECRET}@host/x.git", "ssh://git@host/x.git"),
        (f"user:{SECRET}@proxy:3128", "proxy:3128"),
        (f"https:/user:{SECRET}@host/x", "https:/host/x"),
        (f"https://host/x?token={SECRET}&v=2", "https://host/x?token=***&v=2"),
        (f"https://host/x?X-Amz-Signature={SECRET}", "https://host/x?X-Amz-Signature=***"),
        (f"https://host/x?sv=1&sig={SECRET}", "https://host/x?sv=1&sig=***"),
        (f"https://host/x?a=1;api%5Fkey={SECRET}", "https://host/x?a=1;api%5Fkey=***"),
        (f"https://host/x#access_token={SECRET}", "https://host/x#access_token=***"),
        ("https://host/ghp_0123456789abcdef0123/x", "https://host/***/x"),
    ],
)
def test_a_secret_is_removed(address: str, wanted: str) -> None:
    assert public(address) == wanted
    assert SECRET not in public_text(f"cannot fetch '{address}': 401") or "://" not in address


@pytest.mark.parametrize(
    "address",
    [
        "https://host.example/x.git",
        "https://host/@scope/package@1.2.tgz?format=tar&h=v1",
        "https://host/glibc-2.41.tar.xz?id=0123456789abcdef0123456789abcdef01234567",
        "https://host/x?author=me&keyword=linux",
        "ssh://git@host/x.git",
        "git@host:path/x.git",
        "file:///srv/mirror",
        "mirror://debian/pool/main/z/zlib.tar",
        "/srv/a mirror@home:2/x",
        "../x:y@z",
        "host:3128",
        "",
    ],
)
def test_what_is_no_secret_stays(address: str) -> None:
    assert public(address) == address


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), max_size=12)


@given(
    st.sampled_from(["http", "https", "git", "socks5"]),
    WORDS.filter(lambda text: not set(text) & set("/?#\\")),
    WORDS.filter(lambda text: not set(text) & set("/?#\\@")),
    st.sampled_from(["host", "host:80", "[::1]:80", "127.0.0.1"]),
    WORDS,
)
def test_no_user_and_no_password_passes(scheme: str, user: str, word: str, host: str, path: str) -> None:
    told = public(f"{scheme}://{user}:{SECRET}{word}@{host}/{path}")
    assert SECRET not in told
    assert told.startswith(f"{scheme}://{host}/")


@given(st.text(max_size=40), st.text(max_size=20))
def test_whatever_it_is_twice_is_once(text: str, more: str) -> None:
    for address in (text, f"https://{text}@{more}", f"https://{text}?token={more}"):
        assert public(public(address)) == public(address)


def test_an_error_is_made_public_with_all_that_is_in_it() -> None:
    address = f"http://user:{SECRET}@proxy:3128"
    inner = ColvertError(Code.COMMAND_FAILED, "x", hint=f"env -i http_proxy={address} apt-get update")
    error = ColvertError(Code.FETCH_FAILED, f"no {address}", detail=[f"1 {address}"], others=[inner])
    assert SECRET not in str(public_error(error))
    assert "http_proxy=http://proxy:3128 apt-get" in str(public_error(error))


MANIFEST = """\
id: a
name: A
version: 1
epoch: 1
overlays:
  - {{git: 'https://user:{0}@host.example/x.git', commit: {1}}}
distfile_mirrors: ['https://user:{0}@mirror.example/']
"""


def manifest(tmp_path: Path, more: str = "") -> Path:
    path = tmp_path / "os.yaml"
    path.write_text(MANIFEST.format(SECRET, "0" * 40) + more)
    return path


def test_a_manifest_is_shown_without_passwords(tmp_path: Path) -> None:
    loaded = load(manifest(tmp_path))
    assert SECRET not in show_yaml(loaded) + show_json(loaded) + loaded.manifest.part_json("overlays")
    assert "https://host.example/x.git" in show_yaml(loaded)
    # but it is used with them
    assert loaded.manifest.distfile_mirrors == (f"https://user:{SECRET}@mirror.example/",)
    assert SECRET in str(loaded.manifest.overlays[0])


@pytest.mark.parametrize(
    "line",
    [
        f"update: {{source: 'https://user:{SECRET}@host.example/'}}",
        f"update: {{source: 'https://{SECRET}@host.example/'}}",
        f"update: {{source: 'https://host.example/?token={SECRET}'}}",
        f"update: {{source: 'ftp://user:{SECRET}@host.example/'}}",
        f"update: {{source: 'https://user:{SECRET}@host.example:port/'}}",
        f"update: {{source: 'https://user:{SECRET}@'}}",
        f"audit: 'https://user:{SECRET}@host.example/'",
        f"include: 'https://user:{SECRET}@host.example/'",
        f"packages: ['https://user:{SECRET}@host.example/']",
    ],
)
def test_a_mistake_is_told_without_the_password_in_it(tmp_path: Path, line: str) -> None:
    with pytest.raises(ColvertError) as caught:
        load(manifest(tmp_path, line))
    assert caught.value.where and caught.value.where.line == 8
    assert SECRET not in str(caught.value)
