"""The initrd's list: what each directive takes, and what it says when it cannot."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from builder.assembly.initrd import ALONE_FROM, LIST, OVERLAY, RELEASE, collect, split
from builder.assembly.root import Root
from builder.errors import Code, ColvertError, Location
from builder.formats.cpio import Member
from tests.unit.elves import hardened


def tree(root: Path) -> Path:
    """A small image: a program, its libraries behind links, a directory."""
    base = root / "tree"
    for folder in ("usr/bin", "usr/lib/systemd/system", "usr/share/d"):
        (base / folder).mkdir(parents=True)
    (base / "usr/sbin").symlink_to("bin")
    (base / "usr/lib64").symlink_to("lib")
    (base / "usr/lib/os-release").write_text("ID=colvert\n")
    (base / "usr/bin/tool").write_bytes(hardened(needed=["liba.so.1"], interpreter="/lib64/ld.so.2"))
    (base / "usr/bin/tool").chmod(0o755)
    (base / "usr/bin/other").symlink_to("tool")
    (base / "usr/lib/ld.so.2").write_bytes(b"ld")
    (base / "usr/lib/liba.so.1").symlink_to("liba.so.1.5")
    (base / "usr/lib/liba.so.1.5").write_bytes(hardened(needed=["libb.so.1"]))
    (base / "usr/lib/systemd/libb.so.1").write_bytes(hardened())
    (base / "usr/share/d/x").write_text("x")
    (base / "usr/share/d/y").write_text("y")
    return base


def made(tmp_path: Path, text: str, overlay: dict[str, str] | None = None) -> dict[str, Member]:
    side = tmp_path / "side"
    (side / LIST).parent.mkdir(parents=True)
    (side / LIST).write_text(text)
    for name, content in (overlay or {}).items():
        path = side / OVERLAY / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return collect(tree(tmp_path), side)


def test_a_file_brings_links_interpreter_and_libraries(tmp_path: Path) -> None:
    members = made(tmp_path, "file usr/sbin/other  # a comment\n")
    taken = {name for name in members if name.startswith("usr/") and not stat.S_ISDIR(members[name].mode)}
    assert taken == {
        "usr/sbin", "usr/lib64", "usr/lib/os-release", "usr/bin/other", "usr/bin/tool", "usr/lib/ld.so.2",
        "usr/lib/liba.so.1", "usr/lib/liba.so.1.5", "usr/lib/systemd/libb.so.1",
    }  # fmt: skip
    assert members["usr/bin/other"] == Member.link("tool")
    assert stat.S_IMODE(members["usr/bin/tool"].mode) == 0o755


def test_every_member_has_its_directory(tmp_path: Path) -> None:
    members = made(tmp_path, "file usr/bin/tool\nlink a/b/c d\n")
    for name in members:
        parent = name.rpartition("/")[0]
        assert not parent or stat.S_ISDIR(members[parent].mode), name


def test_globs_directories_links_and_modes(tmp_path: Path) -> None:
    members = made(
        tmp_path,
        "file usr/share/d\nfile usr/lib/*.so.2\nlink x/y ../z\ndir run/q 1777\ndir w\ndlopen libb.so.1\n",
    )
    assert {
        "usr/share/d/x",
        "usr/share/d/y",
        "usr/lib/ld.so.2",
        "usr/lib/systemd/libb.so.1",
    } <= members.keys()
    assert members["x/y"] == Member.link("../z")
    assert members["run/q"] == Member.directory(0o1777)
    assert members["w"] == Member.directory()


def test_the_overlay_lies_above(tmp_path: Path) -> None:
    members = made(tmp_path, "file usr/share/d/x\n", {"usr/share/d/x": "mine", "etc/passwd": "p"})
    assert members["usr/share/d/x"].read() == b"mine"
    assert "etc/passwd" in members


def test_all_mistakes_are_told_with_their_lines(tmp_path: Path) -> None:
    with pytest.raises(ColvertError) as caught:
        made(tmp_path, "file usr/bin/tool\nfile usr/bin/none\n\ndlopen libnone.so.1\nfetch x\n")
    errors = [caught.value, *caught.value.others]
    assert [error.where for error in errors] == [Location(f"/{LIST}", line) for line in (2, 4, 5)]
    assert {error.code for error in errors} == {Code.IMAGE_INVALID}


def test_a_library_that_is_missing_names_who_needs_it(tmp_path: Path) -> None:
    base = tree(tmp_path)
    (base / "usr/lib/systemd/libb.so.1").unlink()
    (tmp_path / "side" / LIST).parent.mkdir(parents=True)
    (tmp_path / "side" / LIST).write_text("file usr/bin/tool\n")
    with pytest.raises(ColvertError) as caught:
        collect(base, tmp_path / "side")
    assert "libb.so.1" in caught.value.what
    assert "usr/lib/liba.so.1.5" in caught.value.what


def test_a_damaged_program_is_not_taken_without_its_libraries(tmp_path: Path) -> None:
    base = tree(tmp_path)
    (base / "usr/lib/liba.so.1.5").write_bytes(hardened(needed=["libb.so.1"])[:300])
    (tmp_path / "side" / LIST).parent.mkdir(parents=True)
    (tmp_path / "side" / LIST).write_text("file usr/bin/tool\n")
    with pytest.raises(ColvertError) as caught:
        collect(base, tmp_path / "side")
    assert caught.value.code is Code.IMAGE_INVALID
    assert caught.value.where == Location(f"/{LIST}", 1)
    assert "usr/lib/liba.so.1.5" in caught.value.what


def test_an_archive_for_each_large_file_and_the_release_last(tmp_path: Path) -> None:
    base = tree(tmp_path)
    for name in ("usr/share/d/x", "usr/lib/systemd/libb.so.1"):
        with (base / name).open("ab") as stream:
            stream.truncate(ALONE_FROM)
    (base / "usr/share/d/y").write_bytes(bytes(ALONE_FROM - 1))
    (tmp_path / "side" / LIST).parent.mkdir(parents=True)
    (tmp_path / "side" / LIST).write_text("file usr/bin/tool\nfile usr/share/d\n")
    members = collect(base, tmp_path / "side")
    first, *rest = split(members)
    assert [list(archive) for archive in rest] == [
        ["usr/lib/systemd/libb.so.1"],
        ["usr/share/d/x"],
        [RELEASE],
    ]
    assert {**first, **rest[0], **rest[1], **rest[2]} == members
    assert "usr/share/d/y" in first, "directories, links and small files are together"
    assert {name for name, member in members.items() if not stat.S_ISREG(member.mode)} <= first.keys()


def test_without_a_list_the_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(ColvertError) as caught:
        collect(tree(tmp_path), tmp_path / "side")
    assert "colvert-init" in caught.value.hint


def test_wildcards_stay_in_the_image(tmp_path: Path) -> None:
    host = tmp_path / "host"
    host.mkdir()
    (host / "secret").write_text("secret")
    base = tree(tmp_path)
    (base / "usr/share/evil").symlink_to(host)
    (base / "usr/share/good").symlink_to("/usr/share/d")
    root = Root(base)
    assert list(root.glob("usr/share/evil/*")) == []
    assert list(root.glob("../../host/*")) == []
    assert list(root.glob("usr/share/good/*")) == ["usr/share/good/x", "usr/share/good/y"]
    assert list(root.glob("usr/*/ld.so.2")) == ["usr/lib/ld.so.2", "usr/lib64/ld.so.2"]
    assert list(root.glob("usr/share/[e]*")) == ["usr/share/evil"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("dir x 9z", "unknown directive: dir x 9z"),
        ("dir ../x", "invalid path: ../x"),
        ("link a/../../b c", "invalid path: a/../../b"),
        ("file usr/share/whole", "resolves to /, the root of the image"),
    ],
)
def test_directives_that_no_initrd_can_follow(tmp_path: Path, line: str, what: str) -> None:
    base = tree(tmp_path)
    (base / "usr/share/whole").symlink_to("/")
    (tmp_path / "side" / LIST).parent.mkdir(parents=True)
    (tmp_path / "side" / LIST).write_text(f"# first\n{line}\n")
    with pytest.raises(ColvertError) as caught:
        collect(base, tmp_path / "side")
    assert what in caught.value.what
    assert caught.value.where == Location(f"/{LIST}", 2)


def test_a_list_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "side" / LIST).parent.mkdir(parents=True)
    (tmp_path / "side" / LIST).write_bytes(b"# first\n# caf\xe9\n")
    with pytest.raises(ColvertError) as caught:
        collect(tree(tmp_path), tmp_path / "side")
    assert (caught.value.what, caught.value.where) == ("not UTF-8", Location(f"/{LIST}", 2))


@pytest.mark.parametrize("place", ["side", "tree"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, place: str) -> None:
    base, side = tree(tmp_path), tmp_path / "side"
    (side / OVERLAY / "etc").mkdir(parents=True)
    (side / LIST).write_text("file usr/share/d\n")
    os.mkfifo(side / OVERLAY / "etc/pipe" if place == "side" else base / "usr/share/d/pipe")
    with pytest.raises(ColvertError) as caught:
        collect(base, side)
    assert "pipe is a FIFO" in caught.value.what


def test_links_lead_where_they_lead_on_the_machine(tmp_path: Path) -> None:
    base = tree(tmp_path)
    (base / "usr/share/abs").symlink_to("/lib/../bin/other")
    root = Root(base)
    assert root.resolve("usr/share/abs") == ("usr/bin/tool", ["usr/share/abs", "usr/bin/other"])
    assert root.resolve("sbin/tool")[0] == "usr/bin/tool"
    (base / "usr/share/loop").symlink_to("loop")
    with pytest.raises(ColvertError):
        root.resolve("usr/share/loop")
