"""The inventory and comparisons: what is read of a small tree, and each kind of difference."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from builder.assembly.root import ETC
from builder.build.inventory import stored_inventory, take_inventory
from builder.cli.main import cli
from builder.describe.compare import Change, Difference, Section, compare
from builder.describe.inventory import FILE, Inventory, read_inventory, split
from builder.errors import Code, ColvertError
from builder.pipeline.key import walk
from tests.golden import check_golden

GOLDEN = Path(__file__).parent / "golden"
INSTALL = "[Unit]\n[Install]\nWantedBy=multi-user.target\n"


@dataclass
class Made:
    """The tree stage's output for an OS of two packages."""

    place: Path
    version: str = "1.0.0"
    thing: str = "sys-apps/thing-1.0-r1"
    licences: tuple[str, ...] = ("MIT",)
    files: dict[str, str] = field(default_factory=dict)
    units: tuple[str, ...] = ("a.service",)
    config: str = "CONFIG_EROFS_FS=y\n# CONFIG_BTRFS_FS is not set\nCONFIG_HZ=250\n"

    def write(self) -> Path:
        made = self.place / f"{self.version}-tree"
        tree = made / "tree"
        listed = [
            {"package": self.thing, "slot": "0", "licences": list(self.licences)},
            {"package": "sys-kernel/kernel-6.1", "slot": "0", "licences": ["GPL-2"]},
        ]
        files = {
            "usr/bin/thing": "#!/bin/sh\n",
            "usr/lib/os-release": f"ID=small\nVERSION_ID={self.version}\n",
            "usr/lib/systemd/system/a.service": INSTALL,
            "usr/lib/systemd/system/b.service": INSTALL,
            "usr/lib/systemd/system/c.target": "[Unit]\n",
            "usr/lib/sysctl.d/10-x.conf": "# text\nkernel.panic = 5\n-net.ipv4.ip_forward=0\n",
            "usr/lib/sysctl.d/20-y.conf": "kernel/panic=10\n",
            "usr/share/colvert/packages.json": json.dumps({"packages": listed}),
            **self.files,
        }
        for name, text in files.items():
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o644)
        (tree / "usr/lib/systemd/system/alias.service").symlink_to("a.service")
        (tree / ETC / "systemd/system").mkdir(parents=True)
        (tree / ETC / "systemd/system/b.service").symlink_to("/dev/null")
        for name, entry in walk(tree):
            if entry.is_dir(follow_symlinks=False):
                (tree / name).chmod(0o755)
        owners = {name: self.thing for name, _entry in walk(tree)} | {"usr/lib/os-release": "rule:os-release"}
        sizes = {self.thing: 10, "sys-kernel/kernel-6.1": 0}
        report = {"owners": owners, "sizes": sizes, "units": list(self.units), "kernel": "6.1-small"}
        (made / "report.json").write_text(json.dumps(report))
        config = made / "side/usr/lib/modules/6.1-small/config"
        config.parent.mkdir(parents=True)
        config.write_text(self.config)
        return made

    def inventory(self, **more: Any) -> Inventory:
        return take_inventory(self.write(), **more)


def test_the_form_of_an_inventory(tmp_path: Path) -> None:
    made = Made(tmp_path).inventory(
        sizes={"usr": 4096},
        command_line=("root=gpt-auto", "rw"),
        use={"sys-apps/thing-1.0-r1": ("zlib", "acl"), "sys-kernel/kernel-6.1": ()},
    )
    check_golden(GOLDEN / "inventory.json", made.text())
    path = tmp_path / FILE
    path.write_text(made.text())
    assert read_inventory(path) == made


def test_an_inventory_is_the_same_bytes_twice(tmp_path: Path) -> None:
    one = Made(tmp_path / "one").inventory().text()
    mask = os.umask(0o077)
    try:
        assert Made(tmp_path / "two").inventory().text() == one
    finally:
        os.umask(mask)


@pytest.mark.parametrize(
    ("cpv", "name", "version"),
    [
        ("sys-libs/timezone-data-2025b", "sys-libs/timezone-data", "2025b"),
        ("net-misc/openssh-10.0_p1-r2", "net-misc/openssh", "10.0_p1-r2"),
        ("app-misc/x-1-2", "app-misc/x-1", "2"),
    ],
)
def test_names_and_versions_come_apart(cpv: str, name: str, version: str) -> None:
    assert split(cpv) == (name, version)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"form": "colvert-inventory/2", "id": "x", "version": "1"}']
)
def test_what_is_no_inventory_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / FILE
    path.write_text(text)
    with pytest.raises(ColvertError) as caught:
        read_inventory(path)
    assert caught.value.code is Code.USAGE


def test_inventories_are_found_in_releases_and_trees(tmp_path: Path) -> None:
    made = Made(tmp_path).write()
    release = tmp_path / "out"
    release.mkdir()
    (release / FILE).write_text(take_inventory(made).text())
    assert stored_inventory(release) == stored_inventory(release / FILE) == stored_inventory(made)
    (tmp_path / "some.yaml").touch()
    assert stored_inventory(tmp_path / "some.yaml") is None
    with pytest.raises(ColvertError, match="no such release"):
        stored_inventory(tmp_path / "gone")
    with pytest.raises(ColvertError, match="not a release or tree"):
        stored_inventory(tmp_path)


# differences


def between(a: Inventory, b: Inventory) -> dict[str, list[tuple[str, str | None, str | None]]]:
    found = compare(a, b).sections
    return {key.value: [(one.name, one.before, one.after) for one in found[key]] for key in found}


def test_equal_releases_do_not_differ(tmp_path: Path) -> None:
    one = Made(tmp_path / "one").inventory()
    assert compare(one, Made(tmp_path / "two").inventory()) == Difference("small 1.0.0", "small 1.0.0", {})


def test_every_kind_of_difference_is_told(tmp_path: Path) -> None:
    old = Made(tmp_path, files={"usr/share/gone": "x", "usr/share/same-size": "a"}).inventory(
        sizes={"usr": 4096, "uki": 1},
        command_line=("rw", "quiet"),
        use={"sys-apps/thing-1.0-r1": ("acl",), KERNEL: ()},
    )
    new = Made(
        tmp_path,
        "1.1.0",
        "sys-apps/thing-1.1",
        ("Apache-2.0", "MIT"),
        {
            "usr/share/same-size": "b",
            "usr/bin/thing": "#!/bin/bash\n",
            "usr/bin/new": "",
            "usr/lib/sysctl.d/30-z.conf": "kernel.panic=0\n",
        },
        ("b.service",),
        "CONFIG_EROFS_FS=m\nCONFIG_HZ=250\nCONFIG_KVM=y\n",
    ).inventory(
        sizes={"usr": 8192}, command_line=("rw", "debug"), use={"sys-apps/thing-1.1": ("nls",), KERNEL: ()}
    )
    found = between(old, new)
    assert found["release"] == [("version", "1.0.0", "1.1.0")]
    assert ("usr", "4096", "8192") in found["sizes"]
    assert "uki" not in [row[0] for row in found["sizes"]]  # only one of them knows it
    assert found["packages"] == [
        ("sys-apps/thing", "1.0-r1", "1.1"),
        ("sys-apps/thing USE", "acl", "nls"),
    ]
    assert found["licences"] == [("Apache-2.0", None, "sys-apps/thing")]
    assert found["units"] == [("a.service", "enabled", "disabled")]
    assert found["sysctl"] == [("kernel.panic", "10", "0")]
    assert found["command line"] == [("quiet", "quiet", None), ("debug", None, "debug")]
    assert found["kernel options"] == [("EROFS_FS", "y", "m"), ("KVM", None, "y")]
    files = {row[0]: row[1:] for row in found["files"]}
    assert files["usr/share/gone"] == ("file 0644 1 sys-apps/thing", None)
    assert files["usr/bin/new"] == (None, "file 0644 0 sys-apps/thing")
    assert files["usr/bin/thing"] == ("10", "12")
    before, after = files["usr/share/same-size"]
    assert before is not None
    assert after is not None
    assert before.startswith("1 sha256:")
    assert before != after


KERNEL = "sys-kernel/kernel-6.1"


def test_rights_that_come_or_go_are_told(tmp_path: Path) -> None:
    plain = Made(tmp_path).inventory()
    tool = plain.files["usr/bin/thing"]
    files = {**plain.files, "usr/bin/thing": tool.model_copy(update={"mode": "4755"})}
    found = compare(plain, plain.model_copy(update={"files": files})).sections
    assert found[Section.PRIVILEGES] == (Change("usr/bin/thing", None, "4755"),)
    assert [one.name for one in found[Section.FILES]] == ["usr/bin/thing"]


def test_what_nobody_knows_does_not_differ(tmp_path: Path) -> None:
    made = Made(tmp_path).write()
    use = {"sys-apps/thing-1.0-r1": ("acl",), KERNEL: ()}
    known = take_inventory(made, use=use, command_line=("rw",), sizes={"usr": 1})
    assert between(known, take_inventory(made)) == {}


# the command


def releases(place: Path) -> list[str]:
    """Two releases' directories, without a store."""
    for version in ("1.0.0", "1.1.0"):
        (place / version).mkdir()
        text = Made(place, version, thing=f"sys-apps/thing-{version}").inventory().text()
        (place / version / FILE).write_text(text)
    return [str(place / "1.0.0"), str(place / "1.1.0")]


def test_the_command_needs_no_store_for_releases(tmp_path: Path) -> None:
    names = releases(tmp_path)
    result = CliRunner().invoke(cli, ["diff", *names, "--home", str(tmp_path / "home")])
    assert result.exit_code == 0, result.output
    assert "small 1.0.0 -> small 1.1.0" in result.output
    assert "sys-apps/thing" in result.output
    assert "\x1b" not in result.output
    assert not (tmp_path / "home").exists()


def test_the_command_tells_a_part_and_json(tmp_path: Path) -> None:
    names = releases(tmp_path)
    result = CliRunner().invoke(cli, ["diff", *names, "--json", "--only", "packages"])
    assert json.loads(result.output) == {
        "kind": "diff",
        "before": "small 1.0.0",
        "after": "small 1.1.0",
        "sections": {
            "packages": [{"name": "sys-apps/thing", "kind": "changed", "before": "1.0.0", "after": "1.1.0"}]
        },
    }


def test_a_terminal_gets_a_table_and_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = releases(tmp_path)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    coloured = CliRunner().invoke(cli, ["diff", *names]).output
    assert "\x1b[33m" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    plain = CliRunner().invoke(cli, ["diff", *names]).output
    assert "\x1b[33m" not in plain


def test_the_command_refuses_a_second_way_to_name_a_manifest(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["diff", *releases(tmp_path), "-m", "x.yaml"])
    assert result.exit_code == 2
