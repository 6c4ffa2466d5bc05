"""The tree and packages that mean harm, or are merely odd: an error names them, and nothing else changes."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.assembly.presets import UnitRules, _check_text, apply_presets, preset_text, template_of
from builder.assembly.root import ETC
from builder.assembly.rules import (
    ExtraFile,
    _files,
    _licence,
    _no_dynamic_ids,
    _os_release,
    _tmpfiles,
    _update,
)
from builder.assembly.tree import PackageImage, Tree, check_owned
from builder.errors import Code, ColvertError
from tests.unit.test_formats_tree import merged, package

Files = dict[str, str | bytes | None]


def victim(tmp_path: Path) -> Path:
    """A directory of the host beside everything, with a file in it."""
    path = tmp_path / "victim"
    path.mkdir()
    (path / "kept").write_text("kept")
    return path


def unharmed(path: Path) -> bool:
    return os.listdir(path) == ["kept"] and (path / "kept").read_text() == "kept"


def refused(caught: pytest.ExceptionInfo[ColvertError], *words: str) -> None:
    assert caught.value.code is Code.IMAGE_INVALID
    text = "\n".join(caught.value.lines())
    for word in words:
        assert word in text, text


@pytest.mark.parametrize("target", ["/VICTIM", "../../../victim", "other"])
def test_a_link_where_another_package_has_a_directory(tmp_path: Path, target: str) -> None:
    host = victim(tmp_path)
    one = package(tmp_path, "a/one-1", {"usr/share/evil": f"-> {target.replace('/VICTIM', str(host))}"})
    two = package(tmp_path, "a/two-1", {"usr/share/evil/deep/x": "out", "usr/share/evil/y": "out"})
    with pytest.raises(ColvertError) as caught:
        merged(tmp_path, one, two)
    refused(caught, "/usr/share/evil", "a/one-1", "a/two-1", "a symbolic link to")
    assert not caught.value.others, "what is below the link is not told again"
    assert unharmed(host)


@pytest.mark.parametrize("path", ["/usr/share/evil/x", "/usr/share/evil/deep/er/x", "/etc/evil/x"])
def test_a_file_of_the_manifest_below_a_package_s_link(tmp_path: Path, path: str) -> None:
    host = victim(tmp_path)
    links: Files = {"usr/share/evil": f"-> {host}", "etc/evil": f"-> {host}"}
    tree = merged(tmp_path, package(tmp_path, "a/one-1", links))
    with pytest.raises(ColvertError) as caught:
        _files(tree, [ExtraFile(path, text="out")])
    refused(caught, "rule:files", "evil is a symbolic link", "a/one-1")
    assert unharmed(host)


def test_a_rule_replaces_a_link_and_not_its_target(tmp_path: Path) -> None:
    host = victim(tmp_path)
    links: Files = {"etc/passwd": f"-> {host}/kept", "usr/lib/os-release": f"-> {host}/kept"}
    tree = merged(tmp_path, package(tmp_path, "a/one-1", links))
    _os_release(tree, {"ID": "x"})
    _files(tree, [ExtraFile("/etc/passwd", text="root:x:0:0::/:/bin/sh\n", mode=0o600)])
    assert unharmed(host)
    assert stat.S_IMODE((host / "kept").stat().st_mode) != 0o600
    assert (tree.out / "usr/lib/os-release").read_text() == "ID=x\n"


def test_a_file_of_the_manifest_in_the_place_of_a_directory(tmp_path: Path) -> None:
    tree = merged(tmp_path, package(tmp_path, "a/one-1", {"usr/bin/one": "1"}))
    with pytest.raises(ColvertError) as caught:
        _files(tree, [ExtraFile("/usr/bin", text="out")])
    refused(caught, "rule:files", "/usr/bin is a directory of a/one-1")


def test_what_the_host_has_is_not_read_through_links(tmp_path: Path) -> None:
    host = victim(tmp_path)
    (host / "secret").write_text("g secret -\nd /var/lib/one\n")
    files: Files = {
        "usr/lib/sysusers.d/a.conf": f"-> {host}/secret",
        "usr/lib/tmpfiles.d/a.conf": f"-> {host}/secret",
        "usr/lib/tmpfiles.d/masked.conf": "-> /dev/null",
        "usr/lib/tmpfiles.d/own.conf": "-> ../../share/own",
        "usr/share/own": "d /var/lib/two\n",
        "var/lib/one": None,
        "var/lib/two": None,
    }
    tree = merged(tmp_path, package(tmp_path, "a/one-1", files))
    _no_dynamic_ids(tree)
    _tmpfiles(tree)
    text = (tree.out / "usr/lib/tmpfiles.d/zz-colvert-packages.conf").read_text()
    assert "/var/lib/one" in text, "the host's file is not the package's"
    assert "/var/lib/two" not in text, "a link within the image is"


@pytest.mark.parametrize("name", ["usr", "usr/lib", "usr/share", ETC, "usr/lib/systemd/system", "etc"])
def test_directories_that_every_image_has_are_no_links(tmp_path: Path, name: str) -> None:
    host = victim(tmp_path)
    with pytest.raises(ColvertError) as caught:
        merged(tmp_path, package(tmp_path, "a/one-1", {name: f"-> {host}"}))
    refused(caught, "a/one-1", f"/{name} is a symbolic link")


@pytest.mark.parametrize(
    "name",
    [
        "usr/lib/modules/6.12/vmlinuz",
        "usr/lib/systemd/boot/efi/linuxx64.efi.stub",
        "usr/lib/systemd/boot/efi/systemd-bootx64.efi",
        "usr/lib/colvert/initrd.list",
        "usr/lib/colvert/initrd",
    ],
)
def test_what_the_builder_reads_is_a_file(tmp_path: Path, name: str) -> None:
    host = victim(tmp_path)
    with pytest.raises(ColvertError) as caught:
        merged(tmp_path, package(tmp_path, "a/one-1", {name: f"-> {host}/kept"}))
    refused(caught, "a/one-1", f"/{name} is a symbolic link")


def test_special_files(tmp_path: Path) -> None:
    one = package(tmp_path, "a/one-1", {"usr/lib/tmpfiles.d": None, "usr/bin": None})
    os.mkfifo(one.image / "usr/lib/tmpfiles.d/pipe.conf")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(one.image / "usr/bin/socket"))
        with pytest.raises(ColvertError) as caught:
            merged(tmp_path, one)
    refused(
        caught, "a/one-1: /usr/lib/tmpfiles.d/pipe.conf is a FIFO", "a/one-1: /usr/bin/socket is a socket"
    )


def test_names_that_are_no_text(tmp_path: Path) -> None:
    one = package(tmp_path, "a/one-1", {"usr/bin": None})
    (one.image / "usr/bin" / os.fsdecode(b"caf\xe9")).write_text("")
    (one.image / "usr/bin/link").symlink_to(os.fsdecode(b"caf\xe9"))
    with pytest.raises(ColvertError) as caught:
        merged(tmp_path, one)
    refused(caught, "a/one-1: the file name /usr/bin/caf", "target of the symbolic link /usr/bin/link")


@pytest.mark.parametrize("attribute", ["user.note", "security.capability"])
def test_attributes_that_an_image_would_lose(tmp_path: Path, attribute: str) -> None:
    one = package(tmp_path, "a/one-1", {"usr/bin/ping": "1", "usr/bin/other": "1"})
    # version 2 of struct vfs_cap_data: cap_net_raw, permitted and effective
    value = bytes.fromhex("0100000200200000000000000000000000000000")
    try:
        os.setxattr(one.image / "usr/bin/ping", attribute, value)
    except OSError as error:
        pytest.skip(f"cannot be set here: {error}")
    with pytest.raises(ColvertError) as caught:
        merged(tmp_path, one)
    refused(caught, "a/one-1", "/usr/bin/ping has extended attributes", attribute)
    assert not caught.value.others


@pytest.mark.parametrize(
    "name",
    [
        "usr/lib/systemd/system/a.service",
        "usr/lib/systemd/system/a.service.d/more.conf",
        "usr/lib/systemd/system-preset/50-a.preset",
        "etc/systemd/system/a.service",
    ],
)
def test_units_and_presets_that_are_not_utf8(tmp_path: Path, name: str) -> None:
    tree = merged(tmp_path, package(tmp_path, "a/one-1", {name: b"[Unit]\nDescription=caf\xe9\n"}))
    with pytest.raises(ColvertError) as caught:
        _check_text(tree)
    refused(caught, f"a/one-1: /{name}: line 2 is not UTF-8")


@pytest.mark.parametrize("name", ["usr/lib/tmpfiles.d/a.conf", "usr/lib/sysusers.d/a.conf", "etc/group"])
def test_configuration_that_is_not_utf8(tmp_path: Path, name: str) -> None:
    tree = merged(tmp_path, package(tmp_path, "a/one-1", {name: b"# caf\xe9\n"}))
    with pytest.raises(ColvertError) as caught:
        _tmpfiles(tree)
        _no_dynamic_ids(tree)
    refused(caught, f"a/one-1: /{name}: line 1 is not UTF-8")


def test_links_without_end(tmp_path: Path) -> None:
    files: Files = {
        "usr/lib/libx.so": "-> liby.so",
        "usr/lib/liby.so": "-> libx.so",
        "usr/lib/tmpfiles.d/a.conf": "-> b.conf",
        "usr/lib/tmpfiles.d/b.conf": "-> a.conf",
    }
    tree = merged(tmp_path, package(tmp_path, "a/one-1", files))
    with pytest.raises(ColvertError) as caught:
        _tmpfiles(tree)
    refused(caught, "too many levels of symbolic links")


def test_directories_of_var_with_signs(tmp_path: Path) -> None:
    tree = merged(tmp_path, package(tmp_path, "a/one-1", {'var/lib/a b%i"': None}))
    _tmpfiles(tree)
    text = (tree.out / "usr/lib/tmpfiles.d/zz-colvert-packages.conf").read_text()
    assert text.splitlines()[1:] == ["d /var/lib/a\\x20b%%i\\x22 0755 root root -"]


def test_what_the_manifest_gives_is_a_file(tmp_path: Path) -> None:
    tree = merged(tmp_path, package(tmp_path, "a/one-1", {"usr/bin/one": "1"}))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "text").write_text("text")
    (tmp_path / "link").symlink_to("text")
    _files(tree, [ExtraFile("/etc/motd", tmp_path / "link")])
    assert (tree.out / ETC / "motd").read_text() == "text"
    with pytest.raises(ColvertError) as caught:
        _files(tree, [ExtraFile("/etc/motd", tmp_path / "pipe")])
    assert caught.value.code is Code.MANIFEST_INVALID


def test_the_text_of_a_licence_is_its_overlay_s(tmp_path: Path) -> None:
    host = victim(tmp_path)
    folder = tmp_path / "licenses"
    folder.mkdir()
    (folder / "MIT").write_text("free")
    (folder / "Expat").symlink_to("MIT")
    (folder / "evil").symlink_to(host / "kept")
    os.mkfifo(folder / "pipe")
    assert _licence(folder / "Expat") == b"free"
    for name in ("evil", "pipe"):
        with pytest.raises(ColvertError) as caught:
            _licence(folder / name)
        assert caught.value.code is Code.LICENCE_TEXT


# --- the manifest's units, before systemd is asked ----------------------------------


def test_the_manifest_s_choice_as_a_preset_file() -> None:
    rules = UnitRules(
        ("a.service", "getty@tty2.service", "b@10.0.0.1.socket", "getty@tty3.service"), ("c.timer",)
    )
    assert preset_text(rules).splitlines() == [
        "enable a.service",
        "enable getty@.service tty2 tty3",
        "enable b@.socket 10.0.0.1",
        "disable c.timer",
    ]
    assert preset_text(UnitRules()) == ""
    assert template_of("getty@.service") == template_of("a.service") == ""


@pytest.mark.parametrize(
    ("rules", "what"),
    [
        (UnitRules(enable=("nothing.service",)), "no package installs the unit nothing.service"),
        (UnitRules(mask=("nothing@x.service",)), "no package installs the unit nothing@x.service"),
        (UnitRules(disable=("getty@tty1.service",)), "a preset can disable a template"),
    ],
)
def test_units_that_cannot_be_chosen(tmp_path: Path, rules: UnitRules, what: str) -> None:
    tree = merged(
        tmp_path, package(tmp_path, "a/one-1", {"usr/lib/systemd/system/getty@.service": "[Unit]\n"})
    )
    with pytest.raises(ColvertError) as caught:
        apply_presets(tree, rules, tmp_path / "no-sdk")
    refused(caught, what)


# --- whatever packages hold ---------------------------------------------------------

PARTS = st.sampled_from(
    ["usr", "lib", "lib64", "sbin", "share", "evil", "x", "systemd", "system", "colvert", "etc"]
)
PATHS = st.tuples(
    st.sampled_from(
        ["usr", "usr/lib", "usr/share", "usr/lib64", "usr/share/colvert", "etc", "lib64", "bin", "var", "opt"]
    ),
    st.lists(PARTS, max_size=3),
).map(lambda pair: "/".join([pair[0], *pair[1]]))
TARGETS = st.one_of(
    PATHS,
    PARTS,
    st.sampled_from(
        ["..", "../..", "../../victim", "/VICTIM", "/VICTIM/kept", "/", ".", "../../../victim/kept"]
    ),
)
CONTENTS = st.one_of(st.just(None), st.just("text"), TARGETS.map(lambda target: f"-> {target}"))
PACKAGES = st.lists(st.lists(st.tuples(PATHS, CONTENTS), min_size=1, max_size=8), min_size=1, max_size=3)
ADDED = st.lists(PATHS, max_size=3)


@given(contents=PACKAGES, added=ADDED)
@settings(max_examples=150)
def test_nothing_outside_of_the_tree_changes(
    contents: list[list[tuple[str, str | None]]], added: list[str]
) -> None:
    with TemporaryDirectory() as work:
        top = Path(work)
        victim(top)
        images = [_package(top, number, content) for number, content in enumerate(contents)]
        before = _snapshot(top)
        with suppress(ColvertError):
            tree = merged(top, *images)
            _rules(tree, added)
            check_owned(tree)
        assert _snapshot(top) == before


def _package(top: Path, number: int, content: list[tuple[str, str | None]]) -> PackageImage:
    """A package with all of it that can be together."""
    image = top / f"image-{number}"
    image.mkdir()
    for name, value in content:
        with suppress(OSError):
            _make(image, name, value and value.replace("/VICTIM", str(top / "victim")))
    return PackageImage(f"a/p{number}-1", image, modes={"usr": 0o755})


def _make(image: Path, name: str, value: str | None) -> None:
    path = image
    for part in name.split("/"):
        if path.is_symlink():
            raise OSError
        path = path / part
    path.parent.mkdir(parents=True, exist_ok=True)
    if value is None:
        path.mkdir()
    elif value.startswith("-> "):
        path.symlink_to(value[3:])
    else:
        path.write_text(value)


def _rules(tree: Tree, added: list[str]) -> None:
    _files(tree, [ExtraFile(f"/{name}", text="added") for name in added])
    _os_release(tree, {"ID": "x"})
    _update(tree, {"URL": "x"}, {"key": b"pem"})
    _tmpfiles(tree)
    _no_dynamic_ids(tree)
    _check_text(tree)
    tree.link(f"{ETC}/systemd/system/x.service", "/dev/null", "rule:presets")


def _snapshot(top: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """All that is beside the tree, links not followed."""
    found = {}
    for directory, folders, files in os.walk(top):
        if directory == str(top):
            folders[:] = [name for name in folders if name not in ("out", "side")]
        for name in (*folders, *files):
            path = Path(directory) / name
            status = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
            found[str(path)] = (status.st_mode, status.st_nlink, status.st_mtime_ns, content)
    return found
