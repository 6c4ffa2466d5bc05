"""Boot: the whole way of a signed release, as docs/howto/sign-a-release.md goes it.

Two releases are built here, signed where only the signer and a token are, attached and verified. A
machine whose firmware knows the project's keys, and nobody else's, boots the first and becomes the second.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.machine.files import Host
from builder.sandbox.home import open_home
from builder.sandbox.run import hand_over
from builder.signing.project_keys import ProjectKeys, create, utc_now
from builder.updates.contents import BOOT, VERITY_SIGNATURE
from tests.boot.test_secure_boot import enforcing
from tests.boot.updates import Client
from tests.booted import spec_of, up
from tests.build.places import workplace
from tests.releases import Variant
from tests.server import serve
from tests.signed import firmware
from tests.signer.root import SignerMachine, ensure_signer
from tests.signer.workspace import Desk
from tests.site import Site

pytestmark = pytest.mark.boot

VERSIONS = ("1", "2")


@dataclass(frozen=True)
class Fleet:
    """Signed releases, where they are served, and the keys in their machines' firmware."""

    desk: Desk
    keys: ProjectKeys
    releases: tuple[Path, ...]
    site: Site


@pytest.fixture(scope="module")
def fleet(host: Host, packages: object) -> Iterator[Fleet]:
    with contextmanager(workplace)() as work:
        machine = SignerMachine(ensure_signer(open_home()), hand_over(work / "home"))
        desk = Desk(work, machine, host.sdk, token=True)
        keys = create(desk.keys, "Fleet", utc_now())
        desk.open_keys()
        releases: list[Path] = []
        (work / "site").mkdir()
        for version in VERSIONS:
            variant = Variant(version, {"/usr/share/colvert-test/version": f"{version}\n"})
            release = desk.signed(desk.build("fleet", variant, ("qemu",), releases))
            shutil.copytree(release / "update", work / "site", dirs_exist_ok=True)
            releases.append(release)
        with serve(Site(work / "site")) as site:
            yield Fleet(desk, keys, tuple(releases), site)


@pytest.fixture(scope="module")
def client(fleet: Fleet, host: Host) -> Iterator[Client]:
    [image] = (fleet.releases[0] / "qemu").glob("*.qcow2")
    own = firmware(host, fleet.keys, fleet.desk.work / "vars.fd")
    with up(spec_of(image, host, firmware=own), host) as booted:
        yield Client(booted)


@pytest.mark.parametrize("number", range(len(VERSIONS)))
def test_verify_finds_nothing(fleet: Fleet, number: int) -> None:
    report = fleet.desk.verifier(fleet.releases[number]).run()
    assert report.errors == []
    assert any("all blocks" in line for line in report.held)


def signature_of(release: Path) -> bytes:
    return (release / BOOT / VERITY_SIGNATURE).read_bytes().rstrip(b"\0")


def test_secure_boot_takes_the_first_release(client: Client, fleet: Fleet) -> None:
    assert enforcing(client.booted)
    client.booted.healthy()
    assert client.entries() == ["colvert_1.efi"]
    assert client.booted.guest.read("/dev/vda5").rstrip(b"\0") == signature_of(fleet.releases[0])


def test_it_becomes_the_second_release(client: Client, fleet: Fleet) -> None:
    booted = client.booted
    booted.ask(f"echo SOURCE={fleet.site.url} > /etc/colvert/update.conf")
    fleet.site.reset()
    assert client.done("update")["code"] == "pending"
    # by the deltas between what was signed
    assert fleet.site.bytes_sent() < 100_000
    assert client.entries() == ["colvert_1.efi", "colvert_2+3.efi"]
    booted.reboot()
    booted.healthy()
    assert client.version() == "2"
    assert enforcing(booted)
    assert client.entries() == ["colvert_1.efi", "colvert_2.efi"]
    assert booted.guest.read("/dev/vda8").rstrip(b"\0") == signature_of(fleet.releases[1])
    assert "colvert-usr-verity-sig_2" in booted.ask("sfdisk -d /dev/vda")


def test_the_console_tells_of_no_trouble(client: Client) -> None:
    assert client.booted.running.problems() == ()
