"""ESP of a disk image compared with its release, file by file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from builder.boot.base import BootFiles
from builder.boot.systemd_boot import CONF, ENROLL, ENTRIES, KEYS, LOADER
from builder.errors import Code, ColvertError
from builder.pipeline.key import digest_bytes, digest_file
from builder.tools.workspace import Bench, bench
from builder.updates.contents import Contents

# all in lower case: the file system knows no other
UKIS = re.compile(rf"{ENTRIES.lower()}/[0-9a-z_+.-]+\.efi")
ENROLLED = re.compile(rf"{KEYS}/[0-9a-z]+\.auth")
# what the boot loader leaves on a machine's disk
LEFT = ("loader/random-seed", "loader/entries.srel")


@dataclass(frozen=True)
class BootPart:
    """An ESP, and the release that it should be of."""

    esp: Path
    index: Contents
    place: Path
    work: Path

    def check(self, sdk_root: Path) -> str:
        """Every file is one that the release's ESP has; none of those is missing."""
        wanted = self._wanted()
        with bench(self.work / "files", sdk_root, {"esp": self.esp}) as table:
            names = _listing(table)
            for name in names:
                self._one(table, name, wanted)
        missing = sorted(name for name in wanted if name.startswith("efi/") and name not in names)
        if missing or not any(UKIS.fullmatch(name) for name in names):
            raise _bad(f"{', '.join(missing) or 'the UKI'} is missing")
        return f"{len(names)} files, with the release's UKI and loader"

    def _wanted(self) -> dict[str, set[str]]:
        """Path -> the digests that the file may have, for all but the UKI."""
        texts = self.work / "texts"
        texts.mkdir()
        loader = self.place / self.index.loader
        files = LOADER.files(BootFiles(self.index.row, loader, self.place / self.index.uki, "uki"), texts)
        signed = {one.path: one.sha256 for one in self.index.files}
        found = {name.lower(): {digest_file(file)} for name, file in files.items() if file.parent == texts}
        found |= {name.lower(): {signed[self.index.loader]} for name, file in files.items() if file == loader}
        enrolling = (texts / "loader.conf").read_bytes() + ENROLL.encode()
        found[CONF].add(digest_bytes(enrolling))
        return found

    def _one(self, table: Bench, name: str, wanted: dict[str, set[str]]) -> None:
        """Refuse a file that is not one of the release's, or is another one under that name."""
        if name in LEFT or ENROLLED.fullmatch(name):
            return
        if UKIS.fullmatch(name):
            digests = {one.sha256 for one in self.index.files if one.path == self.index.uki}
        else:
            digests = wanted.get(name, set())
        if not digests:
            raise _bad(f"{name[:80]!a} is not a file of the release")
        table.run("mcopy", "-n", "-o", "-i", table.source("esp"), f"::/{name}", table.target("one"))
        if digest_file(table.work / "one") not in digests:
            raise _bad(f"{name} differs from the release")


def _listing(table: Bench) -> list[str]:
    """All files, hidden ones too."""
    try:
        listing = table.run("mdir", "-/", "-a", "-b", "-i", table.source("esp"), "::").stdout
    except ColvertError as error:
        raise _bad("the file system cannot be read", *error.detail) from error
    rows = [line.strip().removeprefix("::/").lower() for line in listing.splitlines()]
    return [row for row in rows if row and not row.endswith("/")]


def _bad(what: str, *detail: str) -> ColvertError:
    return ColvertError(Code.RELEASE_INVALID, what, detail=detail)
