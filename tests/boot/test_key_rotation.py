"""Boot: the key that signs updates is replaced, and machines follow.

Version 1 was released under the old key and believes both; version 2 is signed by the new one, and
believes it alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from builder.build.image import build_images
from builder.machine.files import Host
from builder.signing.project_keys import create, utc_now
from builder.signing.rotation import rotate
from builder.updates.delta import SIGNED, UNSIGNED
from builder.updates.dsse import sign
from builder.updates.index import PAYLOAD_TYPE
from builder.updates.keys import Signer
from tests.boot.updates import Client
from tests.booted import spec_of, up
from tests.build.places import open_place
from tests.releases import Variant
from tests.server import serve
from tests.site import Site

pytestmark = [pytest.mark.boot, pytest.mark.long]


def signer(path: Path) -> Signer:
    key = load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, Ed25519PrivateKey)
    return Signer(key)


@dataclass(frozen=True)
class Fleet:
    """Releases 1 to 3 of a project that has replaced its key, and where they are served."""

    out: Path
    site: Site
    old: Signer
    new: Signer

    def offer(self, version: str, key: Signer) -> None:
        """Let the site announce a release, signed by a key."""
        payload = (self.out / version / "update" / UNSIGNED).read_bytes()
        (self.site.root / SIGNED).write_bytes(sign(PAYLOAD_TYPE, payload, [key]).to_bytes())


@pytest.fixture(scope="module")
def fleet(packages: Mapping[str, object]) -> Iterator[Fleet]:
    with open_place() as place:
        keys = create(place / "keys", "Fleet", utc_now())
        kept = rotate(keys, "release", utc_now())
        old, new = (
            shutil.copy(kept, place / "old.pem"),
            shutil.copy(keys.directory / "release.pem", place / "new.pem"),
        )
        out, root = place / "out", place / "site"
        root.mkdir()
        for version, ring in (("1", [old, new]), ("2", [new]), ("3", [new])):
            manifest = {"keys": {"release": "fleet"}, "update": {"keys": [str(path) for path in ring]}}
            session = Variant(version, {}, manifest).open(place)
            for file in (build_images(session, ("qemu",), out) / "update").glob("*.zst"):
                shutil.copyfile(file, root / file.name)
        with serve(Site(root)) as site:
            yield Fleet(
                out,
                site,
                signer(keys.directory / "earlier" / kept.with_suffix(".key").name),
                signer(keys.directory / "release.key"),
            )


def test_machines_follow_to_the_new_key_and_leave_the_old_one(fleet: Fleet, host: Host) -> None:
    [image] = (fleet.out / "1/qemu").glob("*.qcow2")
    # its keys are made for this test, so no snapshot of it would serve a second time
    with up(spec_of(image, host), host) as booted:
        booted.ask(f"mkdir -p /etc/colvert; echo SOURCE={fleet.site.url} > /etc/colvert/update.conf")
        booted.healthy()
        client = Client(booted)
        fleet.offer("2", fleet.old)
        assert client.done("check")["code"] == "available"
        fleet.offer("2", fleet.new)
        assert client.done("update")["code"] == "pending"
        booted.reboot()
        assert client.version() == "2"
        fleet.offer("3", fleet.old)
        assert client.refused("check") == "signature"
        fleet.offer("3", fleet.new)
        assert client.done("check")["code"] == "available"
