"""What an update changed in the defaults of /etc."""

from __future__ import annotations

import subprocess

from tests.build.update_client.machine import STATE, Machine


def test_defaults(machine: Machine) -> None:
    place = "usr/share/colvert/etc"
    for name in ("same", "changed", "gone", "d/hidden", "d/sub/below"):
        machine.put(f"{place}/{name}", "one")
    assert machine.call("booted").code == "done"
    recorded = (machine.root / STATE / "defaults/1.0.1").read_text()
    check = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet"],
        cwd=machine.root / place,
        input=recorded,
        text=True,
        check=True,
    )
    assert check.returncode == 0
    assert machine.call("defaults").report["defaults"] == []
    machine.put("usr/lib/os-release", "IMAGE_ID=colvert\nIMAGE_VERSION=1.0.2\n")
    for name in ("changed", "new", "d/hidden", "d/sub/below"):
        machine.put(f"{place}/{name}", "two")
    (machine.root / place / "gone").unlink()
    (machine.root / place / "link").symlink_to("same")
    assert machine.call("booted").code == "done"
    machine.put("var/lib/colvert/etc/upper/d/hidden", "mine")
    machine.put("var/lib/colvert/etc/upper/same", "mine")
    report = machine.call("defaults").report
    assert (report["from"], report["to"]) == ("1.0.1", "1.0.2")
    found = {item["path"]: (item["change"], item["hidden"]) for item in report["defaults"]}
    assert found == {
        "changed": ("changed", False),
        "d/hidden": ("changed", True),
        "d/sub/below": ("changed", False),
        "gone": ("removed", False),
        "link": ("added", False),
        "new": ("added", False),
    }
    assert machine.call("defaults", "--from", "1.0.1").report["defaults"] == report["defaults"]
    assert machine.call("defaults", "--from", "7").code == "usage"
