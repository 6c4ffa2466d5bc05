"""All targets of one build: side by side, packed once, and never made again."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from builder.arch import DEFAULT
from builder.build import platform_image
from builder.build.blueprint import Blueprint
from builder.build.disk import DISK
from builder.build.session import Session
from builder.build.targets import read_settings
from builder.errors import Code, ColvertError
from builder.formats.gpt import Contents
from builder.pipeline.entry import Entry
from builder.pipeline.events import Event, Events, Kind
from builder.pipeline.executor import Executor
from builder.pipeline.index import digest, survey
from builder.pipeline.scheduler import Job, Scheduler, closure, machine_capacity
from builder.pipeline.stage import Stage, Work
from builder.pipeline.store import Store
from builder.platforms import PLATFORMS, Context, Need, Platform, Settings
from builder.platforms.base import Job as PlatformJob
from builder.tools.oem import make_oem
from builder.tools.sfdisk import make_disk
from builder.tools.verity import make_verity
from tests.build.places import workplace

MIB = 1 << 20


work = pytest.fixture(workplace)


@dataclass(frozen=True)
class SmallDisk(Stage):
    """A disk in the place of an image's: data that compresses and data that does not."""

    name: ClassVar[str] = "disk"

    seed: int

    @property
    def label(self) -> str:
        return "disk"

    def run(self, work: Work) -> None:
        root, scratch = work.sdk.root, work.scratch
        usr, verity, oem = (scratch / name for name in ("usr", "verity", "oem"))
        usr.write_bytes(random.Random(self.seed).randbytes(2 * MIB) + b"text " * MIB)
        made = make_verity(usr, verity, sdk_root=root, identity="test")
        make_oem(None, oem, sdk_root=root, size=256 * MIB, epoch=0, identity="test")
        contents = Contents(
            "test", "1", usr, usr, verity, made.data_uuid, made.hash_uuid, oem, architecture=DEFAULT
        )
        make_disk(contents, work.out / DISK, sdk_root=root)


class Shop:
    """The stages that follow a disk, which is a small one, in a store of their own."""

    def __init__(self, session: Session, work: Path) -> None:
        self.seen: list[Event] = []
        self.store = Store(work / "store")
        self.session = session
        events = Events(self.seen.append)
        self.executor = Executor(self.store, events, session.sdk, session.home.local())

    def make(self, platforms: Sequence[Platform]) -> dict[str, Entry]:
        """As a new build does it: nothing is known yet but what the store has."""
        jobs = [job for job in Blueprint(self.session).jobs(platforms) if job.name != "disk"]
        jobs.append(Job("disk", ("disk", "disk"), (), lambda _done: SmallDisk(1)))
        scheduler = Scheduler(self.executor, machine_capacity(2))
        wanted = [f"image:{one.name}" for one in platforms]
        done = scheduler.run(closure(jobs, wanted))
        return {one.name: done[f"image:{one.name}"] for one in platforms}

    def made(self) -> list[str]:
        """What was made since the last call, the disk apart."""
        names = [
            event.label.partition(" ")[0] if event.stage == "image" else event.stage
            for event in self.seen
            if event.kind is Kind.FINISHED
        ]
        self.seen.clear()
        return sorted(name for name in names if name != "disk")


@pytest.fixture
def shop(session: Session, work: Path) -> Shop:
    return Shop(session, work)


def test_all_targets_pack_once_and_are_never_made_again(shop: Shop) -> None:
    every = list(PLATFORMS.values())
    entries = shop.make(every)
    assert shop.made() == sorted(["packed", *PLATFORMS])
    again = shop.make(every)
    assert shop.made() == []
    assert {name: entry.path for name, entry in again.items()} == {
        name: entry.path for name, entry in entries.items()
    }
    # compared with its digest
    assert Store(shop.store.root).path(entries["gce"].artifact) == entries["gce"].out


def test_a_target_more_costs_only_itself(shop: Shop) -> None:
    shop.make([PLATFORMS["ec2"]])
    shop.made()
    shop.make([PLATFORMS["ec2"], PLATFORMS["openstack"]])
    assert shop.made() == ["openstack"]


def test_raw_targets_do_not_wait_for_packing(shop: Shop) -> None:
    shop.make([PLATFORMS["eucalyptus"], PLATFORMS["rackspace"]])
    assert shop.made() == ["eucalyptus", "rackspace"]


def test_alone_or_with_others_the_bytes_are_the_same(shop: Shop, work: Path) -> None:
    entries = shop.make(list(PLATFORMS.values()))
    disk = shop.executor.obtain(SmallDisk(1)).part(DISK)
    session = shop.session
    for name in ("vagrant", "vmware"):
        out = work / "alone" / name
        out.mkdir(parents=True)
        for path in (out, out.parent):
            path.chmod(0o755)
        manifest = session.loaded.manifest
        settings = read_settings(session.loaded).get(name, Settings())
        context = Context(
            manifest.id,
            manifest.name,
            session.loaded.version,
            session.sdk.root,
            session.loaded.epoch,
            settings,
            architecture=DEFAULT,
        )
        PLATFORMS[name].emit({Need.DISK: shop.store.path(disk)}, context, out)
        assert digest(survey(out)) == entries[name].digest


BEGUN = threading.Event()


def _fail(job: PlatformJob) -> None:
    job.save(".img", [b"half"])
    BEGUN.wait(30)
    raise ColvertError(Code.TOO_LARGE, "no")


def _slow(job: PlatformJob) -> None:
    BEGUN.set()
    job.save(".img", [b"whole"])


@pytest.fixture
def strange(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mapping[str, Platform]]:
    """Two platforms in the place of the real ones: one fails, one takes its time."""
    made = {name: Platform(name, "test", (".img",), make) for name, make in (("qemu", _fail), ("ec2", _slow))}
    monkeypatch.setattr(platform_image, "PLATFORMS", made)
    BEGUN.clear()
    yield made


def test_one_that_fails_leaves_the_others_whole(shop: Shop, strange: Mapping[str, Platform]) -> None:
    with pytest.raises(ColvertError) as caught:
        shop.make(list(strange.values()))
    assert caught.value.code is Code.TOO_LARGE
    assert shop.made() == ["ec2", "packed"]
    assert list((shop.store.root / "tmp").iterdir()) == []
