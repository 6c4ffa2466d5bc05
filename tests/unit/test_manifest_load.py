"""Loading manifests: every mistake at its place, all at once, and nothing but ColvertError."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from builder.errors import Code, ColvertError, Exit
from builder.manifest.load import DEFAULT, LoadedManifest, load
from builder.manifest.template import render

HEAD = "id: test\nname: Test\nversion: 1.0\nepoch: 1700000000\n"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a file below a directory that is the current one; returns its relative path."""
    monkeypatch.chdir(tmp_path)

    def make(text: str | bytes, name: str = "os.yaml") -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return make


def found(path: Path, **overrides: str) -> list[tuple[Code, str]]:
    """The mistakes of a manifest as (code, place)."""
    with pytest.raises(ColvertError) as caught:
        load(path, overrides=overrides)
    errors = [caught.value, *caught.value.others]
    assert all(error.exit is Exit.INPUT for error in errors)
    return [(error.code, str(error.where)) for error in errors]


def message(path: Path) -> str:
    with pytest.raises(ColvertError) as caught:
        load(path)
    return str(caught.value)


def test_a_manifest_is_loaded(write: Write) -> None:
    loaded = load(write(HEAD + "packages: [app-shells/bash]\n"))
    assert (loaded.version, loaded.epoch, loaded.commit) == ("1.0", 1700000000, "")
    assert loaded.manifest.packages == ("app-shells/bash",)
    assert str(loaded.origin(("packages", 0))) == "os.yaml:5:12"
    assert loaded.origin(("usr", "compression")) == DEFAULT


def test_all_mistakes_are_told_at_once_with_their_places(write: Write) -> None:
    path = write(
        HEAD
        + "pakages: []\n"
        + "packages: {a: b}\n"
        + "architecture: x86-64\n"
        + "usr:\n  compression: zstdd,3\n  cluster_size: 1 parsec\n"
        + "id: again\n"
        + "platforms:\n  qemu: [1]\n"
    )
    assert found(path) == [
        (Code.MANIFEST_INVALID, "os.yaml:5:1"),
        (Code.MANIFEST_INVALID, "os.yaml:6:11"),
        (Code.MANIFEST_INVALID, "os.yaml:7:15"),
        (Code.MANIFEST_INVALID, "os.yaml:9:16"),
        (Code.MANIFEST_INVALID, "os.yaml:10:17"),
        (Code.MANIFEST_SYNTAX, "os.yaml:11:1"),
        (Code.MANIFEST_INVALID, "os.yaml:13:9"),
    ]
    text = message(path)
    for suggestion in ("packages", "x86_64", "zstd"):
        assert f"did you mean '{suggestion}'?" in text


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("kernel: {command_line: [a b]}", 25),
        ("kernel: {command_line: [usrhash=00]}", 25),
        ("kernel: {fragments: [lost.config]}", 22),
        ("packages: [bash]", 12),
        ("packages: [app-shells/bash-5.2]", 12),
        ("packages: ['>=app-shells/bash']", 12),
        ("use: {app-shells/bash: [+nls]}", 25),
        ("use: {bash: [nls]}", 7),
        ("files: [{path: /usr/x, content: a, source: b}]", 36 + 8),
        ("files: [{path: /usr/x}]", 9),
        ("files: [{path: /usr/../x, content: a}]", 16),
        ("files: [{path: /opt/x, content: a}]", 16),
        ("files: [{path: /usr/x, content: a, mode: 0888}]", 42),
        ("units: {enable: [sshd]}", 18),
        ("units: {enable: [a.service], mask: [a.service]}", 8),
        ("users: [{name: core}]", 9),
        ("users: [{name: core, id: 1000}, {name: corp, id: 1000}]", 0),
        ("locales: [de_DE]", 11),
        ("usr: {compression: 'lz4,3'}", 20),
        ("usr: {cluster_size: 5 KiB}", 21),
        ("disk: {esp_size: 1000}", 18),
        ("disk: {usr_size: 8 GiB}", 7),
        ("disk: {esp_size: 99999999999999999999 GiB}", 18),
        ("platforms: {qemu: [1]}", 19),
        ("update: {source: 'ftp://x/'}", 18),
        ("overlays: [{git: 'https://x/y', commit: main}]", 41),
        ("overlays: [{git: 'https://x/y'}]", 12),
        ("distfile_mirrors: [lost]", 20),
        ("profile: ../x", 10),
        ("keys: development", 7),
        ("packages: !remove [a/b]", 20),
        ("packages: !delete [a/b]", 11),
        ("use: !remove", 6),
        ("name: '{{ vresion }}'", 7),
        ("name: '{{ version.__class__.__mro__ }}'", 7),
        ("name: '{{ 9 ** 9 ** 9 }}'", 7),
        ("name: '{{ \"a\".center(10000000000) }}'", 7),
        ("name: '{% for a in b %}{{ a }}{% endfor %}'", 7),
        ("name: '{{ '", 7),
        ("name: '{{ }}'", 7),
        ("name: '{{- id -}}'", 7),
        ("name: '{{ id }} }} {{ \"}}'", 7),
    ],
)
def test_a_wrong_value_is_told_at_its_place(write: Write, line: str, column: int) -> None:
    head = HEAD.replace("name: Test\n", "") if line.startswith("name") else HEAD
    path = write(head + line + "\n")
    count = head.count("\n") + 1
    errors = found(path)
    assert len(errors) == 1, message(path)
    assert errors[0] == (
        Code.MANIFEST_INVALID if "!delete" not in line else Code.MANIFEST_SYNTAX,
        errors[0][1],
    )
    assert errors[0][1] == (f"os.yaml:{count}:{column}" if column else "os.yaml")


def test_a_missing_key_is_told_for_the_file(write: Write) -> None:
    assert found(write("version: 1\nepoch: 0\n")) == [(Code.MANIFEST_INVALID, "os.yaml")] * 2


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"# nothing\n",
        b"[]",
        b"text",
        b"a: b: c",
        b"a: [",
        b"\tid: x",
        b"id: \xff\xfe",
        b"\xff\xfei\x00d\x00",
        b"id: a\x00b",
        b"id: \x1b[31m",
        b'id: "\\ud800"',
        b'id: "\\0"',
        b'id: "\\UFFFFFFFF"',
        b"%YAML 9.9\n---\na: b",
        b"--- {}\n--- {}\n",
        b"a: &a [*a]",
        b"? [a]\n: b",
        b"id: !!python/object/apply:os.system [ls]",
        b"[" * 5000,
        b"{a: " * 5000,
        b"- " * 5000,
        b"a: '" + b"x" * (1 << 20) + b"'",
        b"a: [" + b"1," * 100_000 + b"1]",
    ],
)
def test_what_is_no_manifest_is_told_in_one_line(write: Write, text: bytes) -> None:
    errors = found(write(text))
    assert Code.MANIFEST_SYNTAX in [code for code, _ in errors]
    assert all(where.startswith("os.yaml") for _, where in errors)


def test_an_alias_bomb_is_stopped(write: Write) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert found(write("\n".join(lines)))[0][0] is Code.MANIFEST_SYNTAX


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"k{n}: 1" for n in range(9000)),
        f"packages: [{', '.join(f'p{n}' for n in range(15000))}]",
        f"packages: !remove [{', '.join(f'p{n}' for n in range(15000))}]",
        f"users: [{', '.join(f'{{name: u{n}}}' for n in range(5000))}]",
        f"use: {{{', '.join(f'p{n}: x' for n in range(8000))}}}",
    ],
    ids=["keys", "packages", "removals", "users", "use"],
)
def test_a_large_wrong_file_takes_no_quadratic_time(write: Write, text: str) -> None:
    start = time.monotonic()
    assert 0 < len(found(write(text))) <= 100
    assert time.monotonic() - start < 20


def test_includes_apply_in_order_and_once(write: Write) -> None:
    write(HEAD + "packages: [a/base]\nupdate: {channel: base}\n", "lib/base.yaml")
    write("include: [base.yaml]\npackages: [!remove a/base, a/one]\nupdate: {channel: one}\n", "lib/one.yaml")
    write("include: [base.yaml]\npackages: [a/two]\n", "lib/two.yaml")
    loaded = load(write("include: [lib/one.yaml, lib/two.yaml]\npackages: [a/own]\n"))
    assert loaded.manifest.packages == ("a/one", "a/two", "a/own")
    assert loaded.manifest.update.channel == "one"
    assert str(loaded.origin(("update", "channel"))) == "lib/one.yaml:3:19"
    assert sorted(loaded.files) == ["lib/base.yaml", "lib/one.yaml", "lib/two.yaml", "os.yaml"]


def test_a_missing_include_is_told_with_the_nearest_name(write: Write) -> None:
    write(HEAD, "base.yaml")
    path = write("include:\n  - bsae.yaml\n")
    assert found(path) == [(Code.INCLUDE_MISSING, "os.yaml:2:5")]
    assert "did you mean 'base.yaml'?" in message(path)


def test_a_circle_of_includes_is_told_with_its_way(write: Write) -> None:
    write("include: [b.yaml]\n", "a.yaml")
    write("include: [./a.yaml]\n", "b.yaml")
    path = write("include: [a.yaml]\n")
    assert found(path) == [(Code.INCLUDE_CYCLE, "b.yaml:1:11")]
    assert "a.yaml includes b.yaml includes a.yaml" in message(path)


def test_a_fifo_or_directory_is_no_manifest(write: Write, tmp_path: Path) -> None:
    os.mkfifo("pipe.yaml")
    assert found(write("include: [pipe.yaml, .]\n")) == [
        (Code.INCLUDE_MISSING, "os.yaml:1:11"),
        (Code.INCLUDE_MISSING, "os.yaml:1:22"),
    ]
    assert found(tmp_path) == [(Code.MANIFEST_MISSING, str(tmp_path))]


def test_a_manifest_that_is_not_there(write: Write) -> None:
    write(HEAD)
    assert found(Path("so.yaml")) == [(Code.MANIFEST_MISSING, "so.yaml")]


def test_paths_start_from_the_file_that_names_them(write: Write) -> None:
    write("CONFIG_X=y\n", "lib/x.config")
    write(HEAD + "kernel: {fragments: [x.config]}\n", "lib/base.yaml")
    write("CONFIG_Y=y\n", "y.config")
    loaded = load(write("include: [lib/base.yaml]\nkernel: {fragments: [y.config]}\n"))
    paths = [fragment.path for fragment in loaded.manifest.kernel.fragments]
    assert paths == [Path.cwd() / "lib/x.config", Path.cwd() / "y.config"]


def test_a_missing_overlay_has_its_own_code(write: Write) -> None:
    assert found(write(HEAD + "overlays: [lost]\n")) == [(Code.OVERLAY_MISSING, "os.yaml:5:12")]


def test_expressions_are_filled_in(write: Write) -> None:
    text = "files: [{path: /etc/motd, content: '{{ id }} {{ version }} {{ architecture }} {% raw'}]\n"
    loaded = load(write(HEAD + text))
    assert loaded.manifest.files[0].content == "test 1.0 x86_64 {% raw"


@pytest.mark.parametrize(
    "text",
    ["packages: [!sys-apps/less]", "packages: [*/*]", "packages: [@system]", "packages: [a/b, !less ]"],
)
def test_a_value_that_yaml_takes_for_its_own_needs_quotes(write: Write, text: str) -> None:
    with pytest.raises(ColvertError) as caught:
        load(write(f"{HEAD}{text}\n"))
    assert caught.value.code is Code.MANIFEST_SYNTAX
    assert "quotes" in caught.value.hint


def test_a_second_document_is_told_where_it_begins(write: Write) -> None:
    assert found(write(f"{HEAD}---\n{HEAD}")) == [(Code.MANIFEST_SYNTAX, "os.yaml:5:1")]


def test_an_include_cannot_be_set(write: Write) -> None:
    assert found(write(HEAD), include="x.yaml") == [(Code.MANIFEST_INVALID, "--set include")]


PLAIN_TEXT = st.lists(
    st.text()
    | st.sampled_from(["{#", "#}", "{%", "%}", "{%-", "#", "##", "}}", "{", "${#a[@]}", "\r\n", "\n", "'"])
).map("".join)


def without_expressions(text: str) -> bool:
    return "{{" not in text and not text.endswith("{")


@given(PLAIN_TEXT.filter(without_expressions), PLAIN_TEXT.filter(without_expressions))
def test_only_expressions_of_a_value_are_touched(before: str, after: str) -> None:
    filled = render(f"{before}{{{{ id }}}}{after}{{{{ '{{{{' }}}}{before}", {"id": "test"})
    assert filled == f"{before}test{after}{{{{{before}"


@given(PLAIN_TEXT.filter(without_expressions))
@example("a=${#items[@]}; b=${v#}; {% raw %}\n# line {# comment\n")
def test_a_value_without_an_expression_is_the_text_as_written(text: str) -> None:
    assert render(text, {"id": "test"}) == text


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{{ '}}' }}", "}}"),
        ('{{ "\\"}}" }}', '"}}'),
        ("{{id}}}", "test}"),
        ("{{ id|upper }}{{ other|default('x') }}", "TESTx"),
        ("  {{ id }}\n\n", "  test\n\n"),
    ],
)
def test_an_expression_ends_where_it_is_closed(text: str, filled: str) -> None:
    assert render(text, {"id": "test"}) == filled


def test_plain_scalars_stay_what_was_written(write: Write) -> None:
    loaded = load(write("id: no\nname: 1.10\nversion: 1.10\nepoch: 5\n"))
    assert (loaded.manifest.id, loaded.manifest.name, loaded.version) == ("no", "1.10", "1.10")


def test_overrides_merge_last_and_are_named_in_errors(write: Write) -> None:
    path = write(HEAD + "packages: [a/b]\n")
    loaded = load(path, overrides={"usr.compression": "lz4", "packages": "[c/d]"})
    assert loaded.manifest.usr.compression == "lz4"
    assert loaded.manifest.packages == ("a/b", "c/d")
    assert loaded.text_digest != load(path).text_digest
    with pytest.raises(ColvertError) as caught:
        load(path, overrides={"usr.compresion": "lz4"})
    assert caught.value.where and caught.value.where.file == "--set usr.compresion"


def test_the_text_digest_does_not_know_where_the_files_are(write: Write) -> None:
    one = load(write(HEAD, "a/os.yaml"))
    two = load(write(HEAD, "b/c/so.yaml"))
    assert one.text_digest == two.text_digest


def test_without_git_the_version_must_be_fixed(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    path = write("id: a\nname: b\nversion: git\n")
    assert found(path) == [(Code.MANIFEST_INVALID, "os.yaml"), (Code.MANIFEST_INVALID, "os.yaml:3:10")]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")
    assert load(write("id: a\nname: b\nversion: 2\n")).epoch == 1600000000


def loads_or_tells(path: Path) -> None:
    try:
        loaded = load(path)
    except ColvertError as error:
        assert error.code.value.startswith("input.")
        assert str(error).isprintable() or "\n" in str(error)
        str(error).encode()
    else:
        assert isinstance(loaded, LoadedManifest)


FUZZ = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(st.binary(max_size=400))
@example(b"\xef\xbb\xbfid: a")
def test_any_bytes_are_a_manifest_or_a_clear_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "os.yaml"
    path.write_bytes(data)
    loads_or_tells(path)


WORDS_OF_YAML = """id : [ ] { } , &a *a !remove !replace !x ' " | > # % @ ? ~ {{ }} version packages kernel
use files users include overlays git null / . .. \\ 0 é << --- ..."""
PIECES = st.sampled_from([*WORDS_OF_YAML.split(), " ", "\n", "- ", "\t", "  ", "\n  ", "\U0001f600"])


@FUZZ
@given(st.lists(PIECES, max_size=60))
def test_any_text_of_yaml_pieces_is_a_manifest_or_a_clear_error(tmp_path: Path, pieces: list[str]) -> None:
    path = tmp_path / "os.yaml"
    path.write_text("".join(pieces), encoding="utf-8", errors="replace")
    loads_or_tells(path)


WORDS = st.sampled_from(
    ["", "git", "1", "-1", "0755", "a/b", "/usr/x", "x.service", "{{ id }}", "{{ x", "1 GiB", "../"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | WORDS, inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = ["id", "name", "version", "epoch", "include", "overlays", "profile", "packages", "use", "kernel"]
KEYS += ["files", "units", "users", "groups", "usr", "disk", "platforms", "update", "keys", "locales"]
INNER = ["package", "fragments", "command_line", "path", "source", "content", "mode", "enable", "git"]
INNER += ["commit", "compression", "cluster_size", "usr_size", "qemu", "memory", "cpus", "a/b"]
NESTED = VALUES | st.dictionaries(st.sampled_from(INNER), VALUES, max_size=4)


@FUZZ
@given(st.dictionaries(st.sampled_from(KEYS), NESTED | st.lists(NESTED, max_size=3), max_size=6))
def test_any_value_under_any_key_is_a_manifest_or_a_clear_error(
    tmp_path: Path, data: dict[str, object]
) -> None:
    path = tmp_path / "os.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8", errors="surrogatepass")
    loads_or_tells(path)
