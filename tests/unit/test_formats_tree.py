"""The tree: who owns what, what ships, what collides."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from builder.assembly.root import ETC
from builder.assembly.rules import _no_dynamic_ids, _os_release, _tmpfiles
from builder.assembly.tree import PackageImage, Tree, check_owned, merge
from builder.errors import Code, ColvertError

ELF = b"\x7fELF\x02\x01" + bytes(100)


def package(root: Path, cpv: str, files: dict[str, str | bytes | None]) -> PackageImage:
    """A package image: text or bytes is a file, None a directory, `-> X` a link."""
    image = root / cpv.replace("/", "_")
    image.mkdir(parents=True)
    for name, content in files.items():
        path = image / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir(exist_ok=True)
        elif isinstance(content, str) and content.startswith("-> "):
            path.symlink_to(content[3:])
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return PackageImage(cpv, image)


def merged(tmp_path: Path, *packages: PackageImage, exclude: tuple[str, ...] = ()) -> Tree:
    return merge(packages, tmp_path / "out", side=tmp_path / "side", exclude=exclude)


def shipped(tree: Tree) -> set[str]:
    return {name for name in tree.owners if not (tree.out / name).is_dir() or (tree.out / name).is_symlink()}


def test_files_are_copies(tmp_path: Path) -> None:
    one = package(tmp_path, "a/one-1", {"usr/bin/one": "1"})
    (one.image / "usr/bin/one").chmod(0o4755)
    tree = merged(tmp_path, one)
    assert stat.S_IMODE((tree.out / "usr/bin/one").stat().st_mode) == 0o4755
    assert tree.owners["usr/bin/one"] == "a/one-1"
    (tree.out / "usr/bin/one").write_text("2")
    assert (one.image / "usr/bin/one").read_text() == "1"


def test_true_modes_come_from_the_package_s_record(tmp_path: Path) -> None:
    files: dict[str, str | bytes | None] = {"usr/sbin/x": "x", "usr/share/d/y": "y", "var/lib/z": None}
    one = package(tmp_path, "a/one-1", files)
    for name in ("usr/sbin/x", "usr/share/d/y"):
        (one.image / name).chmod(0o444)
    kept = replace(one, modes={"usr/sbin/x": 0o4711, "usr/share/d": 0o2750, "var/lib/z": 0o700})
    tree = merged(tmp_path, kept)
    modes = {name: stat.S_IMODE((tree.out / name).stat().st_mode) for name in tree.owners}
    assert (modes["usr/bin/x"], modes["usr/share/d"], modes["usr/share/d/y"]) == (0o4711, 0o2750, 0o444)
    assert tree.var["var/lib/z"] == (0o700, "a/one-1")


def test_etc_becomes_the_lower_layer(tmp_path: Path) -> None:
    tree = merged(tmp_path, package(tmp_path, "a/one-1", {"etc/hosts": "h"}))
    assert (tree.out / ETC / "hosts").read_text() == "h"


def test_collision_names_both_owners_and_all_files(tmp_path: Path) -> None:
    one = package(tmp_path, "a/one-1", {"usr/bin/x": "1", "usr/bin/y": "1"})
    two = package(tmp_path, "a/two-1", {"usr/bin/x": "1", "usr/bin/y": "1"})
    with pytest.raises(ColvertError) as caught:
        merged(tmp_path, one, two)
    assert caught.value.code is Code.IMAGE_INVALID
    assert "a/one-1" in caught.value.what
    assert "a/two-1" in caught.value.what
    assert len(caught.value.others) == 1


def test_same_links_and_directories_merge(tmp_path: Path) -> None:
    files: dict[str, str | bytes | None] = {"usr/lib/x": "-> y", "usr/share/d": None}
    tree = merged(tmp_path, package(tmp_path, "a/one-1", files), package(tmp_path, "a/two-1", files))
    assert tree.owners["usr/lib/x"] == "a/one-1"


def test_a_link_against_another_target_collides(tmp_path: Path) -> None:
    one = package(tmp_path, "a/one-1", {"usr/lib/x": "-> y"})
    with pytest.raises(ColvertError):
        merged(tmp_path, one, package(tmp_path, "a/two-1", {"usr/lib/x": "-> z"}))


def test_what_compiles_does_not_ship(tmp_path: Path) -> None:
    files: dict[str, str | bytes | None] = {
        "usr/include/x.h": "h",
        "usr/lib/libx.a": "a",
        "usr/lib/libx.la": "a",
        "usr/lib/crt1.o": "o",
        "usr/lib/libx.so": "-> libx.so.1",
        "usr/lib/liboldx.so": "-> libx.so",
        "usr/lib/libalias.so": "-> libplugin.so",
        "usr/lib/libx.so.1": "-> libx.so.1.2",
        "usr/lib/libx.so.1.2": ELF,
        "usr/lib/libc.so": "GROUP ( /usr/lib/libc.so.6 )",
        "usr/lib/libplugin.so": ELF,
        "usr/lib/security/pam_x.so": "-> pam_y.so",
        "usr/lib/pkgconfig/x.pc": "p",
        "usr/share/man/man1/x.1": "m",
        "usr/share/locale/de/x.mo": "m",
        "usr/lib/locale/C.utf8/LC_CTYPE": "l",
        "usr/bin/.keep_a_one-1": "",
        "etc/env.d/00x": "e",
        "etc/profile.env": "e",
        "usr/share/junk/x": "j",
    }
    tree = merged(tmp_path, package(tmp_path, "a/one-1", files), exclude=("usr/share/junk",))
    assert shipped(tree) == {
        "usr/lib/libx.so.1",
        "usr/lib/libx.so.1.2",
        "usr/lib/libalias.so",
        "usr/lib/libplugin.so",
        "usr/lib/security/pam_x.so",
        "usr/lib/locale/C.utf8/LC_CTYPE",
    }


def test_old_paths_become_the_merged_ones(tmp_path: Path) -> None:
    base = package(tmp_path, "a/base-1", {"bin": "-> usr/bin", "lib64": "-> usr/lib", "usr/sbin": "-> bin"})
    one = package(tmp_path, "a/one-1", {"usr/sbin/x": "x", "lib64/ld.so": "l", "usr/lib64/y": "y"})
    assert shipped(merged(tmp_path, base, one)) == {"usr/sbin", "usr/bin/x", "usr/lib/ld.so", "usr/lib/y"}


def test_empty_directories_of_var_become_tmpfiles(tmp_path: Path) -> None:
    files: dict[str, str | bytes | None] = {"var/lib/one": None, "var/lib/two": None, "srv": None}
    one = package(tmp_path, "a/one-1", {**files, "usr/lib/tmpfiles.d/a.conf": "d /var/lib/two - - - -\n"})
    tree = merged(tmp_path, one)
    _tmpfiles(tree)
    text = (tree.out / "usr/lib/tmpfiles.d/zz-colvert-packages.conf").read_text()
    assert text.splitlines()[1:] == ["d /var/lib/one 0755 root root -"]
    assert tree.owners["usr/lib/tmpfiles.d/zz-colvert-packages.conf"] == "rule:tmpfiles"


def test_files_in_var_have_no_place(tmp_path: Path) -> None:
    with pytest.raises(ColvertError) as caught:
        merged(tmp_path, package(tmp_path, "a/one-1", {"var/lib/one/state": "s"}))
    assert caught.value.code is Code.IMAGE_INVALID
    assert "a/one-1" in caught.value.what


def test_kernel_and_initrd_go_aside(tmp_path: Path) -> None:
    files: dict[str, str | bytes | None] = {
        "usr/lib/modules/6.12/vmlinuz": "k",
        "usr/lib/modules/6.12/modules.dep": "",
        "usr/lib/colvert/initrd.list": "l",
        "usr/lib/colvert/initrd/etc/passwd": "p",
        "usr/lib/systemd/boot/efi/linuxx64.efi.stub": "s",
        "usr/lib/systemd/boot/efi/systemd-bootx64.efi": "b",
    }
    tree = merged(tmp_path, package(tmp_path, "a/one-1", files))
    assert shipped(tree) == {
        "usr/lib/modules/6.12/modules.dep",
        "usr/lib/systemd/boot/efi/systemd-bootx64.efi",
    }
    assert (tmp_path / "side/usr/lib/colvert/initrd/etc/passwd").read_text() == "p"
    check_owned(tree)


def test_a_file_that_nobody_owns_is_found(tmp_path: Path) -> None:
    tree = merged(tmp_path, package(tmp_path, "a/one-1", {"usr/bin/one": "1"}))
    (tree.out / "usr/bin/stranger").write_text("?")
    with pytest.raises(ColvertError) as caught:
        check_owned(tree)
    assert "/usr/bin/stranger has no owner" in caught.value.detail


def test_a_rule_replaces_a_file_and_not_the_package(tmp_path: Path) -> None:
    one = package(tmp_path, "a/one-1", {"usr/bin/one": "1"})
    tree = merged(tmp_path, one)
    tree.write("usr/bin/one", "2", "rule:files")
    assert (one.image / "usr/bin/one").read_text() == "1"
    assert tree.owners["usr/bin/one"] == "rule:files"


def test_modes_do_not_follow_the_umask(tmp_path: Path) -> None:
    one = package(tmp_path, "a/one-1", {"etc/deep/er/x": "1"})
    old = os.umask(0o077)
    try:
        tree = merged(tmp_path, one)
        tree.write("usr/a/b/c", "x", "rule:files")
    finally:
        os.umask(old)
    for name in ("usr", "usr/a", "usr/a/b", ETC):
        assert (tree.out / name).stat().st_mode & 0o777 == 0o755, name
    assert (tree.out / "usr/a/b/c").stat().st_mode & 0o777 == 0o644


def test_os_release_is_shell_safe(tmp_path: Path) -> None:
    tree = merged(tmp_path, package(tmp_path, "a/one-1", {"usr/bin/one": "1"}))
    _os_release(tree, {"ID": "colvert", "PRETTY_NAME": 'a "b" $c `d` \\'})
    text = (tree.out / "usr/lib/os-release").read_text()
    assert text == 'ID=colvert\nPRETTY_NAME="a \\"b\\" \\$c \\`d\\` \\\\"\n'


def test_accounts_without_a_number_are_refused(tmp_path: Path) -> None:
    files: dict[str, str | bytes | None] = {
        "usr/lib/sysusers.d/a.conf": 'u! one - "One"\ng two -\n# u three -\n',
        "usr/lib/sysusers.d/0.conf": "g two 200\n",
    }
    tree = merged(tmp_path, package(tmp_path, "a/one-1", files))
    with pytest.raises(ColvertError) as caught:
        _no_dynamic_ids(tree)
    assert "one (a.conf)" in caught.value.what
    assert "two" not in caught.value.what
