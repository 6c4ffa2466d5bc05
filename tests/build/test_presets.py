"""Units that are on: what systemd makes of presets, taken into the tree."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from builder.assembly.presets import OWNER, UnitRules, apply_presets
from builder.assembly.root import ETC
from builder.assembly.tree import PackageImage, Tree, check_owned, merge
from builder.sandbox.sdk import Sdk
from tests.build.places import workplace

work = pytest.fixture(workplace)

WANTS = "etc/systemd/system/multi-user.target.wants"
WANTED = "[Install]\nWantedBy=multi-user.target\n"
PRESET = """# c
enable on.service
enable getty@.*
enable named.service
enable plain@.service one two
enable lower.service
enable long.service
enable dropin.service
ignore shipped.service
enable masked.service
"""
UNITS: Mapping[str, str] = {
    "usr/lib/systemd/system/on.service": f"[Service]\nExecStart=/x\n{WANTED}",
    "usr/lib/systemd/system/off.service": WANTED,
    "usr/lib/systemd/system/static.service": "[Unit]\n",
    "usr/lib/systemd/system/getty@.service": "[Install]\nWantedBy=getty.target\nDefaultInstance=tty1\n",
    "usr/lib/systemd/system/plain@.service": WANTED,
    "usr/lib/systemd/system/named.service":
        "[Install]\nAlias=dbus-x.service\nAlso=also.socket\nRequiredBy=a.target b.target\n",
    "usr/lib/systemd/system/also.socket": "[Install]\nWantedBy=sockets.target\n",
    "usr/lib/systemd/system/alias.service": "-> on.service",
    "usr/lib/systemd/system/masked.service": "-> /dev/null",
    # systemd's keys are case-sensitive, a backslash continues a line, drop-ins count
    "usr/lib/systemd/system/lower.service": "[Install]\nwantedby=multi-user.target\n",
    "usr/lib/systemd/system/long.service": "[Install]\nWantedBy=a.target \\\n b.target\n",
    "usr/lib/systemd/system/dropin.service": "[Unit]\n",
    "usr/lib/systemd/system/dropin.service.d/install.conf": WANTED,
    # what packages turned on and off themselves: `ignore` leaves it, `disable` takes it away
    "usr/lib/systemd/system/shipped.service": WANTED,
    "usr/lib/systemd/system/unwanted.service": WANTED,
    f"{WANTS}/shipped.service": "-> /usr/lib/systemd/system/shipped.service",
    f"{WANTS}/unwanted.service": "-> /usr/lib/systemd/system/unwanted.service",
    "usr/lib/systemd/system-preset/50-a.preset": PRESET,
    "usr/lib/systemd/system-preset/99-z.preset": "disable *\n",
}  # fmt: skip


@pytest.fixture
def tree(work: Path) -> Tree:
    """One package with units of every kind."""
    for name, content in UNITS.items():
        path = work / "image" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith("-> "):
            path.symlink_to(content[3:])
        else:
            path.write_text(content)
    return merge([PackageImage("a/one-1", work / "image")], work / "out", side=work / "side")


def links(tree: Tree) -> dict[str, str]:
    """The links of units in /etc: path below it -> target's path, or its name where it is a unit's."""
    base = tree.out / ETC / "systemd/system"
    return {
        str(path.relative_to(base)): os.readlink(path).removeprefix("/usr/lib/systemd/system/")
        for path in base.rglob("*")
        if path.is_symlink()
    }


def test_links_are_those_of_systemd(tree: Tree, sdk: Sdk) -> None:
    on = apply_presets(tree, UnitRules(), sdk.root)
    assert links(tree) == {
        "multi-user.target.wants/on.service": "on.service",
        "getty.target.wants/getty@tty1.service": "getty@.service",
        "multi-user.target.wants/plain@one.service": "plain@.service",
        "multi-user.target.wants/plain@two.service": "plain@.service",
        "dbus-x.service": "named.service",
        "a.target.requires/named.service": "named.service",
        "b.target.requires/named.service": "named.service",
        "sockets.target.wants/also.socket": "also.socket",
        "a.target.wants/long.service": "long.service",
        "b.target.wants/long.service": "long.service",
        "multi-user.target.wants/dropin.service": "dropin.service",
        "multi-user.target.wants/shipped.service": "shipped.service",
    }
    assert on == [
        "also.socket", "dropin.service", "getty@tty1.service", "long.service", "named.service", "on.service",
        "plain@one.service", "plain@two.service", "shipped.service",
    ]  # fmt: skip
    owners = {name: tree.owners[f"{ETC}/systemd/system/{name}"] for name in links(tree)}
    assert owners.pop("multi-user.target.wants/shipped.service") == "a/one-1"
    assert set(owners.values()) == {OWNER}
    check_owned(tree)


def test_the_manifest_is_above_the_presets(tree: Tree, sdk: Sdk) -> None:
    enable = ("off.service", "plain@three.service", "getty@tty2.service", "getty@tty3.service")
    apply_presets(tree, UnitRules(enable, ("on.service",), ("static.service",)), sdk.root)
    found = links(tree)
    assert found["static.service"] == "/dev/null"
    assert "multi-user.target.wants/off.service" in found
    assert "multi-user.target.wants/on.service" not in found
    assert sorted(name for name in found if "@" in name) == [
        "getty.target.wants/getty@tty2.service",
        "getty.target.wants/getty@tty3.service",
        "multi-user.target.wants/plain@three.service",
    ]
    check_owned(tree)
