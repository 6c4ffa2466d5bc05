"""All targets of one build: side by side, packed once, and never made again."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from builder.build.image import Image
from builder.build.session import Session
from builder.errors import Code, ColvertError
from builder.formats.gpt import Contents
from builder.pipeline.events import Event, Events, Kind
from builder.pipeline.key import digest_tree
from builder.pipeline.stage import Executor, Stage, Work
from builder.pipeline.store import Store
from builder.platforms import PLATFORMS, Context, Platform
from builder.platforms.base import Job
from builder.tools.oem import make_oem
from builder.tools.sfdisk import make_disk
from builder.tools.verity import make_verity
from tests.build.places import workplace

MIB = 1 << 20


work = pytest.fixture(workplace)


class Shop:
    """An image whose disk is a small one, in a store of its own."""

    def __init__(self, session: Session, work: Path) -> None:
        self.seen: list[Event] = []
        self.store = Store(work / "store")
        executor = Executor(self.store, Events(self.seen.append))
        self.session = replace(session, executor=executor)
        self.disk = executor.obtain(Stage("disk", "disk", 1, {}, self._make))
        self.seen.clear()

    def _make(self, work: Work) -> None:
        root, scratch = self.session.sdk.root, work.scratch
        usr, verity, oem = (scratch / name for name in ("usr", "verity", "oem"))
        usr.write_bytes(os.urandom(2 * MIB) + b"text " * MIB)
        made = make_verity(usr, verity, sdk_root=root, identity="test")
        make_oem(None, oem, sdk_root=root, size=256 * MIB, epoch=0, identity="test")
        contents = Contents("test", "1", usr, usr, verity, made.data_uuid, made.hash_uuid, oem)
        make_disk(contents, work.out / "disk.raw", sdk_root=root)

    def image(self) -> Image:
        """As a new build has it: nothing is known yet but what the store has."""
        image = Image(self.session, {})
        image.__dict__["disk"] = self.disk
        return image

    def made(self) -> list[str]:
        names = [event.stage for event in self.seen if event.kind is Kind.FINISHED]
        self.seen.clear()
        return sorted(names)


@pytest.fixture
def shop(session: Session, work: Path) -> Shop:
    return Shop(session, work)


def test_all_targets_pack_once_and_are_never_made_again(shop: Shop) -> None:
    every = list(PLATFORMS.values())
    entries = shop.image().platforms(every)
    assert shop.made() == sorted(["packed", *(f"image:{name}" for name in PLATFORMS)])
    again = shop.image().platforms(every)
    assert shop.made() == []
    assert {name: entry.path for name, entry in again.items()} == {
        name: entry.path for name, entry in entries.items()
    }
    assert digest_tree(entries["gce"].out) == entries["gce"].digest


def test_a_target_more_costs_only_itself(shop: Shop) -> None:
    shop.image().platform(PLATFORMS["ec2"])
    shop.made()
    shop.image().platforms([PLATFORMS["ec2"], PLATFORMS["openstack"]])
    assert shop.made() == ["image:openstack"]


def test_raw_targets_do_not_wait_for_packing(shop: Shop) -> None:
    shop.image().platforms([PLATFORMS["eucalyptus"], PLATFORMS["rackspace"]])
    assert shop.made() == ["image:eucalyptus", "image:rackspace"]


def test_alone_or_with_others_the_bytes_are_the_same(shop: Shop, work: Path) -> None:
    entries = shop.image().platforms(list(PLATFORMS.values()))
    session = shop.session
    for name in ("vagrant", "vmware"):
        out = work / "alone" / name
        out.mkdir(parents=True)
        for path in (out, out.parent):
            path.chmod(0o755)
        manifest = session.loaded.manifest
        context = Context(
            manifest.id, manifest.name, session.loaded.version, session.sdk.root, session.loaded.epoch
        )
        PLATFORMS[name].emit(shop.disk.out / "disk.raw", context, out)
        assert digest_tree(out) == entries[name].digest


def test_one_that_fails_leaves_the_others_whole(shop: Shop) -> None:
    begun = threading.Event()

    def fail(job: Job) -> None:
        job.save(".img", [b"half"])
        begun.wait(30)
        raise ColvertError(Code.TOO_LARGE, "no")

    def slow(job: Job) -> None:
        begun.set()
        job.save(".img", [b"whole"])

    platforms = [Platform(name, "test", (".img",), make) for name, make in (("qemu", fail), ("ec2", slow))]
    with pytest.raises(ColvertError) as caught:
        shop.image().platforms(platforms)
    assert caught.value.code is Code.TOO_LARGE
    assert shop.made() == ["image:ec2", "packed"]
    assert list((shop.store.root / "tmp").iterdir()) == []
