"""Updates: releases that are served, and the update client of a machine, for the boot tests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.updates.dsse import parse, sign
from builder.updates.index import PAYLOAD_TYPE
from builder.updates.keys import Signer, development_key
from tests.booted import SETTLE_SECONDS, Booted
from tests.build.places import open_place
from tests.conftest import ROOT
from tests.server import serve
from tests.site import Site

Index = dict[str, Any]
STATE = ROOT / ".colvert"


@dataclass(frozen=True)
class Releases:
    """What was built: OUT/VERSION, and the directory that is served."""

    out: Path
    site: Site

    def offer(self, version: str, *, deltas: bool = True) -> None:
        """Let the site announce a release."""
        index = (self.out / version / "update" / "index.json").read_bytes()
        if not deltas:
            index = changed(index, without_deltas)
        (self.site.root / "index.json").write_bytes(index)

    def offer_at(self, name: str, content: bytes) -> str:
        """An index beside, under which the files are the same; returns its URL."""
        place = self.site.root / name
        place.mkdir()
        (place / "index.json").write_bytes(content)
        for file in self.site.root.glob("*.zst"):
            (place / file.name).hardlink_to(file)
        return f"{self.site.url}/{name}"

    def index(self, version: str) -> bytes:
        return (self.out / version / "update" / "index.json").read_bytes()


def changed(envelope: bytes, change: Callable[[Index], None], key: Signer | None = None) -> bytes:
    """An index with something changed, signed anew."""
    index = json.loads(parse(envelope).content())
    change(index)
    signer = key or development_key(STATE)
    return sign(PAYLOAD_TYPE, json.dumps(index).encode(), [signer]).to_bytes()


def without_deltas(index: Index) -> None:
    for part in index["parts"].values():
        part["files"] = [file for file in part["files"] if file["from"] is None]


@contextmanager
def published(out: Path) -> Iterator[Releases]:
    """Serve the update files of the releases in OUT; none is announced yet."""
    with open_place() as place:
        for release in out.iterdir():
            for file in (release / "update").iterdir():
                shutil.copyfile(file, place / file.name)
        (place / "index.json").unlink()
        with serve(Site(place)) as site:
            yield Releases(out, site)


@dataclass(frozen=True)
class Client:
    """The update client of a machine."""

    booted: Booted

    def call(self, *words: str) -> dict[str, Any]:
        """What a command tells, whether or not it did what it should; with its exit status."""
        result = self.booted.guest.attempt(f"colvert-update --json {' '.join(words)}", timeout=SETTLE_SECONDS)
        told = json.loads(result.stdout)
        assert isinstance(told, dict)
        return {**told, "status": result.returncode}

    def done(self, *words: str) -> dict[str, Any]:
        told = self.call(*words)
        assert told["ok"], told["message"]
        assert told["status"] == 0
        return told

    def refused(self, *words: str) -> str:
        """The code with which a command refuses."""
        told = self.call(*words)
        assert not told["ok"]
        assert told["status"] == (1 if told["code"] in ("network", "disk", "space", "esp-full") else 2)
        return str(told["code"])

    def version(self) -> str:
        return self.booted.ask(". /usr/lib/os-release; echo $IMAGE_VERSION")

    def entries(self) -> list[str]:
        return self.booted.ask("ls $(bootctl --print-esp-path)/EFI/Linux").split()

    def disk(self) -> str:
        """The partition table, the boot entries, and the start of every partition of a slot."""
        return self.booted.ask(
            "sfdisk -d /dev/vda; ls -l $(bootctl --print-esp-path)/EFI/Linux;"
            " for n in 3 4 6 7; do head -c 1M /dev/vda$n | sha256sum; done"
        )
