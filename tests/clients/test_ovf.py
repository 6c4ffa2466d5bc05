"""COT (Common OVF Tool) reads the OVA and the OVF of the box for VirtualBox.

It takes every manifest of OVF 1.x for one of SHA-1, as the first edition of the standard had it,
and says so of each file: that is the one complaint it may have. Manifest and files are held
against each other in `tests/build/test_platforms.py`.
"""

from __future__ import annotations

import re

from tests.clients.workspace import Desk
from tests.targets import Targets

INFO = 'cot info --verbose "$1"'
MANIFEST = re.compile(
    r"ERROR.*The sha1 checksum for file .* is expected to be:\n[0-9a-f]{64}\n"
    r"but is actually:\n[0-9a-f]{40}\nThis file may have been tampered with!"
)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def _complaints(said: str) -> list[str]:
    rest = MANIFEST.sub("", COLOUR.sub("", said))
    return [line for line in rest.splitlines() if re.match(r"(WARNING|ERROR|CRITICAL)", line)]


def test_cot_reads_the_ova(desk: Desk, targets: Targets) -> None:
    ova = targets.file("vmware", ".ova")
    said = desk.run(INFO, desk.inside(ova)).stdout
    assert _complaints(said) == []
    for word in ("vmx-17", "VmxNet3", "VirtualSCSI", "com.vmware.guestInfo"):
        assert word in said
    # a long name is cut short
    assert re.search(r"(?m)^  colvert-.* 8 GiB harddisk @ SCSI 0:0$", said)
    for key in ("instance-id", "hostname", "public-keys", "user-data"):
        assert f"<{key}>" in said


def test_cot_edits_the_ova(desk: Desk, targets: Targets) -> None:
    """The properties are for the user to set: what COT writes has them, and the same disk."""
    script = """
        cot --force edit-properties "$1" --output edited.ova --properties hostname=named-by-cot
        cot info --verbose edited.ova
        mkdir before after
        tar -xf "$1" -C before; tar -xf edited.ova -C after
        cmp before/*.vmdk after/*.vmdk
    """
    said = desk.run(script, desk.inside(targets.file("vmware", ".ova"))).stdout
    assert re.search(r'<hostname> .*"named-by-cot"', said)


def test_cot_reads_the_box_for_virtualbox(desk: Desk, targets: Targets) -> None:
    script = 'tar -xzf "$1"; ' + INFO.replace("$1", "box.ovf")
    said = desk.run(script, desk.inside(targets.file("vagrant", ".virtualbox.box"))).stdout
    assert _complaints(said) == []
    assert re.search(r"box-disk1\.vmdk .* 8 GiB", said)
