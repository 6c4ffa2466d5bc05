"""The inventory that goes with a release, and what a comparison of two real releases tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builder.build.inventory import stored_inventory
from builder.build.session import Session
from builder.build.tree import REPORT
from builder.build.usr import USR
from builder.describe.compare import Section, compare
from builder.describe.inventory import FILE, Inventory, read_inventory
from tests.build.places import workplace
from tests.releases import Made, Variant, make

place = pytest.fixture(workplace)


def inventory_of(made: Made) -> Inventory:
    return read_inventory(made.path("inventory", FILE))


def test_a_release_carries_its_inventory(release: Path, session: Session) -> None:
    made = make(session, "inventory")
    found = stored_inventory(release)
    assert found == inventory_of(made)
    assert found is not None
    owners = json.loads(made.path("tree", REPORT).read_text())["owners"]
    assert found.files.keys() == owners.keys()
    assert len(found.packages) == len(session.plan.shipped)
    assert found.sizes["usr"] == made.path("usr", USR).stat().st_size
    assert found.kernel.options["EROFS_FS"] == "y"
    assert found.units["systemd-networkd.service"] == "enabled"
    assert "kernel.pid_max" in found.sysctl


def test_two_releases_differ_by_what_was_changed(place: Path) -> None:
    one = Variant("1.0.0", epoch=1_700_000_000)
    other = Variant(
        "1.1.0",
        {"/usr/share/new": "text\n", "/usr/lib/sysctl.d/90-x.conf": "kernel.panic = 3\n"},
        {"units": {"mask": ["systemd-timesyncd.service"]}, "kernel": {"command_line": ["quiet"]}},
        epoch=1_700_000_000,
    )
    sections = compare(*(inventory_of(variant.make(place, "inventory")) for variant in (one, other))).sections
    told = {section: {(one.name, one.kind) for one in changes} for section, changes in sections.items()}
    assert told[Section.RELEASE] == {("version", "changed")}
    assert told[Section.UNITS] == {("systemd-timesyncd.service", "changed")}
    assert told[Section.SYSCTL] == {("kernel.panic", "changed")}
    assert told[Section.COMMAND_LINE] == {("quiet", "added")}
    assert {("usr/share/new", "added"), ("usr/lib/os-release", "changed")} <= told[Section.FILES]
    assert not told.keys() & {Section.PACKAGES, Section.LICENCES, Section.PRIVILEGES, Section.KERNEL}
