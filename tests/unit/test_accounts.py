"""Accounts and locales of a manifest against what the packages of its image bring."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.assembly.accounts import read_accounts
from builder.build.backing import Provided, account_files, check_backing, tree_place
from builder.errors import Code, ColvertError
from builder.manifest.load import load
from builder.pipeline.index import survey

HEAD = "id: test\nname: Test\nversion: '1'\nepoch: 0\n"
PACKAGE = {
    "etc/group": "root:x:0:\n",
    "etc/passwd": "root:x:0:0:Super User:/root:/bin/bash\n",
    "usr/lib/sysusers.d/basic.conf": "# all\ng root 0\nu root 0:0\ng wheel 10\n",
    "usr/lib/sysusers.d/sshd.conf": 'u! sshd 22 "The half: of sshd" /usr/share/empty\n',
    "usr/lib/locale/C.utf8/LC_CTYPE": "",
    "usr/bin/bash": "",
    "usr/share/empty/file": "",
}


def provided(tmp_path: Path, text: str) -> tuple[Path, Provided]:
    """A manifest, and what a package and the manifest bring."""
    path, root = tmp_path / "os.yaml", tmp_path / "image"
    path.write_text(HEAD + text)
    for name, content in PACKAGE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    made = Provided()
    made.take(survey(root), lambda: root)
    for place, content in account_files(load(path)).items():
        made.add(place, content)
    return path, made


def places(tmp_path: Path, text: str) -> list[str]:
    path, made = provided(tmp_path, text)
    try:
        check_backing(load(path), made)
    except ColvertError as error:
        errors = [error, *error.others]
        assert {one.code for one in errors} == {Code.MANIFEST_INVALID}
        return [str(one.where).removeprefix(f"{path}:") for one in errors]
    return []


@pytest.mark.parametrize(
    "line",
    [
        "users: [{name: joe, id: 1000, groups: [wheel, a], shell: /bin/bash}]\ngroups: [{name: a, id: 9}]",
        "users: [{name: a, id: 1000}, {name: b, id: 1001, groups: [a, sshd]}]",
        "users: [{name: joe, id: 1000, home: /home/joe, shell: /usr/bin/bash}]",
        "users: [{name: joe, id: 1000, home: /usr/share/empty, shell: /sbin/nologin}]",
        # as the package has it
        "users: [{name: sshd, id: 22}]",
        "groups: [{name: wheel, id: 10}]",
        "locales: [C.UTF-8]",
    ],
)
def test_what_the_image_backs(tmp_path: Path, line: str) -> None:
    assert places(tmp_path, line) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("users: [{name: joe, id: 1000, groups: [wheel, nosuchgroup]}]", ["5:47"]),
        ("users: [{name: joe, id: 1000, shell: /usr/bin/zsh}]", ["5:38"]),
        ("users: [{name: joe, id: 1000, shell: /usr/bin}]", ["5:38"]),
        ("users: [{name: joe, id: 1000, home: /usr/share/lost}]", ["5:37"]),
        ("users: [{name: joe, id: 1000, home: /usr/bin/bash}]", ["5:37"]),
        # the id of a package's user, and so of its group; and another id for a package's user
        ("users: [{name: joe, id: 22}]", ["5:25"]),
        ("users: [{name: sshd, id: 23}]", ["5:26"]),
        ("users: [{name: wheel, id: 1000}]", ["5:27"]),
        ("groups: [{name: wheel, id: 11}]", ["5:28"]),
        ("groups: [{name: mine, id: 10}]", ["5:27"]),
        ("locales: [fr_FR.UTF-8, C.UTF-8]", ["5:11"]),
    ],
)
def test_what_nothing_in_the_image_backs(tmp_path: Path, line: str, found: list[str]) -> None:
    assert places(tmp_path, line) == found


def test_homes_on_the_machine_are_created_there(tmp_path: Path) -> None:
    path, _ = provided(tmp_path, "users: [{name: joe, id: 1000, home: /home/joe}, {name: bob, id: 1001}]")
    text = account_files(load(path))["usr/lib/tmpfiles.d/90-manifest.conf"]
    assert text == "d /home/joe :0700 :joe :joe -\n"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("u a 200\ng a 300\nm a a\nr - 500-900\n", 0),
        ("u a 200\nm a lost\n", 1),
        ("m lost b\ng b 200\n", 1),
        ("u a 200:lost\n", 1),
        ("u a 200\nu b 200:200\n", 1),
        ("g a 200\ng b 200\n", 1),
        ("u a -\nu a 200\n", 0),
    ],
)
def test_lines_of_sysusers_that_contradict(text: str, count: int) -> None:
    assert len(read_accounts({"a.conf": text}).clashes) == count


def test_places_of_packages() -> None:
    assert tree_place("usr/sbin/zsh") == tree_place("sbin/zsh") == tree_place("bin/zsh") == "usr/bin/zsh"
    assert tree_place("etc/group") == "usr/share/colvert/etc/group"
