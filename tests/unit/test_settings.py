"""Mistakes in a manifest that only a build would meet are told by its check, at their line and column."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from builder.assembly.rules import tree_path
from builder.build.targets import check_settings
from builder.cli.main import cli
from builder.errors import Code, ColvertError
from builder.formats.gpt import LABEL_MAX, label_units, slot_labels
from builder.manifest.load import load
from builder.places import place_problem
from tests.conftest import ROOT
from tests.unit.test_manifest_overlays import commit

HEAD = "id: test\nname: Test\nversion: '1'\nepoch: 0\n"


def problems(tmp_path: Path, text: str, head: str = HEAD) -> list[ColvertError]:
    """What loading or checking has to say, in order."""
    path = tmp_path / "os.yaml"
    path.write_text(head + text)
    try:
        check_settings(load(path))
    except ColvertError as error:
        assert error.exit == 2
        return [error.but(others=()), *error.others]
    return []


def at(errors: list[ColvertError], tmp_path: Path) -> list[str]:
    return [str(error.where).removeprefix(f"{tmp_path}/") for error in errors]


@pytest.mark.parametrize("manifest", sorted((ROOT / "manifests").rglob("*.yaml")), ids=lambda path: path.name)
def test_our_own_manifests_can_be_built(manifest: Path) -> None:
    if re.search("^id: ", manifest.read_text(), re.MULTILINE):
        check_settings(load(manifest))


@pytest.mark.parametrize(
    ("identity", "version", "good"),
    [
        ("colvert", "261122.235950", True),
        ("colverts", "261122.235950", False),
        ("my-appliance", "1.2.3", True),
        ("my-appliance", "1.2.3456789", False),
        ("a" * 19, "1", True),
        ("a" * 20, "1", False),
        ("a" * 32, "1", False),
    ],
)
def test_id_and_version_fit_into_a_label(tmp_path: Path, identity: str, version: str, good: bool) -> None:
    assert good == all(label_units(label) <= LABEL_MAX for label in slot_labels(identity, version))
    errors = problems(tmp_path, "", f"name: Test\nid: {identity}\nversion: '{version}'\nepoch: 0\n")
    assert at(errors, tmp_path) == ([] if good else ["os.yaml:2:5"])


@pytest.mark.parametrize("line", ["version: git\n", ""])
def test_an_id_has_to_fit_with_every_version_of_git(tmp_path: Path, line: str) -> None:
    (tmp_path / "os.yaml").touch()
    commit(tmp_path)
    # the work tree is not clean now, and this version has a character less than the next
    assert problems(tmp_path, "", f"id: colvert\nname: T\n{line}") == []
    errors = problems(tmp_path, "", f"id: colverts\nname: T\n{line}")
    assert at(errors, tmp_path) == ["os.yaml:1:5"]
    assert "7 characters" in errors[0].hint


def test_labels_count_as_gpt_does() -> None:
    assert label_units("a\N{GREEK SMALL LETTER ALPHA}") == 2
    assert label_units("\N{PENGUIN}") == 2


FILE = "files:\n  - {{path: {}, content: x}}\n"


@pytest.mark.parametrize(
    "path",
    [
        *("/var/lib/app/x", "/opt/x", "/usr/../var/x", "/usr", "/etc", "/", "/bin/x", "/lib/x"),
        *("usr/x", "/usr/./x", "//usr/x", "/usr/x/", '"/usr/a b"', '"/usr/a\\tb"'),
        *("/usr/" + "x" * 256, "/usr" + "/xxxxxxxxx" * 301),
    ],
)
def test_a_file_that_no_image_carries(tmp_path: Path, path: str) -> None:
    errors = problems(tmp_path, FILE.format(path))
    assert at(errors, tmp_path) == ["os.yaml:6:12"]


@given(
    st.text("/.abusretcvio \t", max_size=14) | st.from_regex(r"/(usr|etc|var)/[a-z/.]{0,8}", fullmatch=True)
)
def test_what_is_checked_is_what_the_assembly_takes(path: str) -> None:
    problem = place_problem(path)
    if problem:
        if path.startswith("/") and not path.startswith("//"):
            with pytest.raises(ColvertError) as caught:
                tree_path(path)
            assert caught.value.code is Code.MANIFEST_INVALID
    else:
        assert tree_path(path).startswith("usr/")
        assert ".." not in tree_path(path).split("/")


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/etc/motd", "usr/share/colvert/etc/motd"),
        ("/usr/bin/x", "usr/bin/x"),
        # the tree has one directory of programs, and one of libraries
        ("/usr/sbin/x", "usr/bin/x"),
        ("/usr/lib64/a/x", "usr/lib/a/x"),
        ("/usr/sbinx/x", "usr/sbinx/x"),
    ],
)
def test_where_a_file_goes(path: str, place: str) -> None:
    assert tree_path(path) == place


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/usr/bin/x", "/usr/sbin/x"),
        ("/etc/x", "/usr/share/colvert/etc/x"),
        ("/etc/x", "/etc/x/y"),
        ("/usr/lib/x/y/z", "/usr/lib64/x"),
    ],
)
def test_files_that_are_in_each_others_way(tmp_path: Path, one: str, other: str) -> None:
    text = f"files:\n  - {{path: {one}, content: x}}\n  - {{path: {other}, content: y}}\n"
    assert at(problems(tmp_path, text), tmp_path) == ["os.yaml:7:12"]


@pytest.mark.parametrize(
    "path",
    ["/usr/lib/os-release", "/usr/lib/colvert/update.conf", "/usr/lib/colvert/keys/update/x.pem",
     "/usr/lib64/os-release", "/etc/ld.so.cache", "/usr/share/colvert/packages.json"],
)  # fmt: skip
def test_a_file_that_the_build_would_write_over(tmp_path: Path, path: str) -> None:
    errors = problems(tmp_path, FILE.format(path))
    assert at(errors, tmp_path) == ["os.yaml:6:12"]
    assert errors[0].hint


def test_the_locale_has_one_place(tmp_path: Path) -> None:
    assert problems(tmp_path, FILE.format("/etc/locale.conf")) == []
    assert len(problems(tmp_path, FILE.format("/etc/locale.conf") + "locales: [C.UTF-8]\n")) == 1


def test_a_command_line_longer_than_a_kernel_keeps(tmp_path: Path) -> None:
    # usrhash= and its 64 digits, and a space before every word
    room = 2047 - 72
    for length, count in ((room - 1, 0), (room, 1)):
        errors = problems(tmp_path, f"kernel:\n  command_line: [{'x' * length}]\n")
        assert at(errors, tmp_path) == ["os.yaml:6:17"] * count


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("kernel: {command_line: ['a=\"b']}", 25),
        ("disk: {esp_size: 20 MiB}", 18),
        ("disk: {oem_size: 8 MiB}", 18),
        ("disk: {esp_size: 3 TiB}", 18),
        ("usr: {compression: 'lzma,50'}", 20),
        ("usr: {compression: 'deflate,0'}", 20),
        ("usr: {compression: 'zstd,23'}", 20),
        ("usr: {compression: 'zstd,03'}", 20),
        ("platforms: {qemu: {memory: 1}}", 28),
        ("platforms: {qemu: {cpus: many}}", 26),
        ("platforms: {qemu: {cpu: 2}}", 20),
        ("platforms: {qemu: {memory: 1025 MiB}}", 28),
        ("users: [{name: root, id: 1234}]", 16),
        ("groups: [{name: nobody, id: 1234}]", 17),
        ("users: [{name: a, id: 1, home: '/a:b'}]", 32),
        ("users: [{name: a, id: 1, shell: '/usr/bin/%b'}]", 33),
        ("update: {from_at_least: '2'}", 25),
        ("platforms: {qemu: {disk_size: 3 TiB}}", 31),
        ("profile: colvert/amd46", 0),
    ],
)
def test_a_value_that_a_tool_would_refuse(tmp_path: Path, line: str, column: int) -> None:
    errors = problems(tmp_path, line + "\n")
    assert at(errors, tmp_path) == ([f"os.yaml:5:{column}"] if column else [])


def test_partitions_that_together_are_too_large(tmp_path: Path) -> None:
    large = "usr_size: 1000 GiB, verity_size: 16 GiB"
    assert problems(tmp_path, f"disk: {{{large}}}\n") == []
    errors = problems(tmp_path, f"disk: {{{large}, oem_size: 100 GiB}}\n")
    assert at(errors, tmp_path) == ["os.yaml:5:7"]


def test_words_with_quotes(tmp_path: Path) -> None:
    assert problems(tmp_path, "kernel: {command_line: ['a=\"b c\"', 'dyndbg=\"file x +p\"']}\n") == []


def test_keys_and_policies_are_read(tmp_path: Path) -> None:
    (tmp_path / "k.pem").write_text("no key\n")
    (tmp_path / "audit.yaml").write_text("version: '1'\nsetuid: 3\n")
    errors = problems(tmp_path, "update: {keys: [k.pem]}\naudit: audit.yaml\n")
    assert at(errors, tmp_path) == ["os.yaml:5:17", "audit.yaml:2:9"]


def test_overlays_are_looked_at(tmp_path: Path) -> None:
    for name, masters in (("one", ""), ("two", "one"), ("three", "four")):
        (tmp_path / name / "profiles/a").mkdir(parents=True)
        (tmp_path / name / "metadata").mkdir()
        (tmp_path / name / "profiles/repo_name").write_text(name)
        (tmp_path / name / "metadata/layout.conf").write_text(f"masters = {masters}\n")
    text = "overlays: [one, two, three]\nprofile: b\n"
    errors = problems(tmp_path, text)
    assert at(errors, tmp_path) == ["os.yaml:5:22", "os.yaml:6:10"]
    (tmp_path / "two/profiles/repo_name").write_text("one")
    (tmp_path / "three/profiles/repo_name").write_text("../x")
    (tmp_path / "one/metadata/layout.conf").unlink()
    errors = problems(tmp_path, text.replace("b", "a"))
    assert at(errors, tmp_path) == ["three/profiles/repo_name:1", "os.yaml:5:17"]
    (tmp_path / "one/profiles/repo_name").unlink()
    assert at(problems(tmp_path, "overlays: [one]\nprofile: a\n"), tmp_path) == ["os.yaml:5:12"]


def test_a_master_in_git_is_not_known_yet(tmp_path: Path) -> None:
    (tmp_path / "one/profiles").mkdir(parents=True)
    (tmp_path / "one/metadata").mkdir()
    (tmp_path / "one/profiles/repo_name").write_text("one")
    (tmp_path / "one/metadata/layout.conf").write_text("masters = gentoo\n")
    git = f"{{git: 'https://host.example/gentoo.git', commit: {'0' * 40}}}"
    assert problems(tmp_path, f"overlays: [{git}, one]\n") == []


def test_the_command_tells_all_of_it_at_once(tmp_path: Path) -> None:
    (tmp_path / "os.yaml").write_text(
        HEAD.replace("test", "x" * 20) + FILE.format("/etc/ld.so.cache") + "platforms: {qmu: {cpus: 1}}\n"
    )
    done = CliRunner().invoke(cli, ["manifest", "check", str(tmp_path / "os.yaml")])
    assert done.exit_code == 2
    for place in ("os.yaml:1:5", "os.yaml:6:12", "os.yaml:7:18"):
        assert place in done.output


@pytest.mark.parametrize(
    "line", ["kernel: {fragments: [loop]}", "overlays: [loop]", "distfile_mirrors: [loop]"]
)
def test_what_cannot_be_read_is_not_called_missing(tmp_path: Path, line: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (error,) = problems(tmp_path, line + "\n")
    assert "cannot be read (Too many levels of symbolic links)" in error.what


@pytest.mark.parametrize(
    "line", ["kernel: {fragments: [pipe]}", "files: [{path: /usr/x, source: pipe}]", "audit: pipe"]
)
def test_a_fifo_is_no_file_of_a_manifest(tmp_path: Path, line: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (error,) = problems(tmp_path, line + "\n")
    assert "not a regular file" in error.what
