"""Slots: disks with both slots filled, as an update leaves them, made on the host without an update client.

Slot A is version 1 and has proved itself; slot B is version 2 and is to be tried. What goes wrong
with version 2 is said by its UKI's command line, by what its file system holds, or by damage to the disk.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

from builder.arch import DEFAULT
from builder.boot import BootFiles
from builder.boot.systemd_boot import LOADER
from builder.formats.gpt import DISK_SIZE, MIB, NO_GUID, READ_ONLY, Contents, Placed, layout, place, script
from builder.formats.sparse import copy_into
from builder.tools.erofs import make_erofs
from builder.tools.esp import make_fat
from builder.tools.oem import make_oem
from builder.tools.uki import UkiParts, make_uki
from builder.tools.verity import make_verity
from builder.tools.workspace import bench

# FAT32 of this size holds three UKIs, and a file that fills it is soon written
ESP_SIZE = 128 * MIB
EPOCH = 1700000000
USR_B, VERITY_B, SIGNATURE_B = 5, 6, 7


@dataclass(frozen=True)
class Release:
    """One version as a slot holds it; `words` are its kernel's own command line."""

    id: str
    version: str
    usr: Path
    verity: Path
    root_hash: str
    uki: UkiParts
    words: tuple[str, ...]
    # its boot loader, unsigned
    loader: Path

    def emptied(self, work: Path, sdk_root: Path) -> Release:
        """The same version with a valid file system that has nothing in it, validly hashed."""
        tree = work / "empty"
        tree.mkdir()
        usr = make_erofs(tree, work / "empty.raw", sdk_root=sdk_root, epoch=EPOCH).path
        verity = make_verity(usr, work / "empty.verity", sdk_root=sdk_root, identity="empty")
        return replace(self, usr=usr, verity=verity.path, root_hash=verity.root_hash)

    def make_uki(self, out: Path, sdk_root: Path, words: Sequence[str] = ()) -> Path:
        """Its UKI, with more words on the command line."""
        cmdline = " ".join((f"usrhash={self.root_hash}", *self.words, *words))
        return make_uki(replace(self.uki, cmdline=cmdline), out, sdk_root=sdk_root)

    def half(self, which: int) -> UUID:
        return UUID(self.root_hash[32 * which : 32 * which + 32])

    def place_of(self, path: str, sdk_root: Path, work: Path) -> int:
        """Where the first bytes of a file below /usr lie in the usr image."""
        with bench(work / "extents", sdk_root, {"usr": self.usr}) as table:
            told = table.run("dump.erofs", f"--path=/{path}", "-e", table.source("usr")).stdout
        # EXTENT: logical begin.. end | length : physical begin.. end | length
        found = re.search(r"(?m)^\s*0:\s+\d+\.\.\s*\d+\s*\|\s*\d+\s*:\s*(\d+)\.\.", told)
        assert found, told
        return int(found[1])


@dataclass(frozen=True)
class Disk:
    """A disk to make: both releases, the files of the ESP, bytes of slot B's usr image to damage."""

    hot: Release
    cold: Release
    # path on the ESP -> file
    esp: Mapping[str, Path]
    damage: tuple[int, ...] = ()
    # leave the ESP no room at all
    fill: bool = False
    esp_size: int = field(default=ESP_SIZE)

    def make(self, out: Path, sdk_root: Path) -> Path:
        """Write the raw disk, sparse."""
        work = out.parent
        placed = self._place(self._esp(work, sdk_root), work, sdk_root)
        with bench(out, sdk_root, {}) as table:
            raw = table.blank("disk", DISK_SIZE)
            text = script(placed, NO_GUID).encode()
            table.run(
                "sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", table.target("disk"), stdin=text
            )
            with raw.open("r+b") as stream:
                for item in placed:
                    if item.partition.content is not None:
                        copy_into(item.partition.content, stream, item.start)
                for place_ in self.damage:
                    stream.seek(placed[USR_B].start + place_)
                    stream.write(b"\xa5" * 16)
            return table.take("disk", out)

    def _esp(self, work: Path, sdk_root: Path) -> Path:
        # the entry of slot A under its blessed name, and whatever else a test wants there
        name = f"{self.hot.id}_{self.hot.version}.efi"
        path = f"EFI/Linux/{name}"
        anything = next(iter(self.esp.values()))
        files = LOADER.files(BootFiles(DEFAULT, self.hot.loader, self.esp.get(path, anything), name), work)
        del files[path]
        files.update(self.esp)
        esp = make_fat(
            files, work / "esp.raw", sdk_root=sdk_root, size=self.esp_size, epoch=EPOCH, label="ESP",
            identity="slots",
        )  # fmt: skip
        if self.fill:
            _fill(esp, sdk_root)
        return esp

    def _place(self, esp: Path, work: Path, sdk_root: Path) -> tuple[Placed, ...]:
        hot, cold = self.hot, self.cold
        oem = make_oem(
            None, work / "oem.raw", sdk_root=sdk_root, size=MIB * 256, epoch=EPOCH, identity="slots"
        )
        contents = Contents(
            architecture=DEFAULT,
            id=hot.id, version=hot.version, esp=esp, usr=hot.usr, verity=hot.verity,
            usr_uuid=hot.half(0), verity_uuid=hot.half(1), oem=oem,
        )  # fmt: skip
        partitions = list(layout(contents))
        for number, name, uuid, content in (
            (USR_B, "usr", cold.half(0), cold.usr),
            (VERITY_B, "usr-verity", cold.half(1), cold.verity),
            (SIGNATURE_B, "usr-verity-sig", partitions[SIGNATURE_B].uuid, None),
        ):
            partitions[number] = replace(
                partitions[number],
                label=f"{cold.id}-{name}_{cold.version}",
                uuid=uuid,
                content=content,
                attributes=READ_ONLY,
            )
        return place(partitions)


def _fill(esp: Path, sdk_root: Path) -> None:
    """Take every cluster that is free: first in one piece, then until the tool says that nothing is left."""
    with bench(esp.with_name("filled"), sdk_root, {}) as table:
        shutil.copyfile(esp, table.blank("image", esp.stat().st_size))
        free = re.search(r"([\d ]+) bytes free", table.run("mdir", "-i", table.target("image"), "::/").stdout)
        assert free
        filler = table.blank("filler", int(free[1].replace(" ", "")))
        assert filler.stat().st_size
        table.run("mcopy", "-i", table.target("image"), table.target("filler"), "::/filler")
        left = table.run("mdir", "-i", table.target("image"), "::/").stdout
        assert re.search(r"\s0 bytes free", left), left
        table.take("image", esp)
