"""Source of a package (distfile), identified by its digests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from builder.errors import Code, ColvertError, Location

CHUNK = 1 << 18


@dataclass(frozen=True)
class Source:
    """A source as a Manifest pins it (GLEP 74): size in bytes, digests in hexadecimal."""

    name: str
    size: int
    blake2b: str
    sha512: str

    @property
    def line(self) -> str:
        """The DIST line of a Manifest."""
        return f"DIST {self.name} {self.size} BLAKE2B {self.blake2b} SHA512 {self.sha512}\n"

    def check(self, path: Path) -> Path:
        """The file at `path`, which has to be just this. Raises WRONG_DIGEST."""
        try:
            found = path.stat().st_size, *hashes(path)
        except FileNotFoundError:
            found = None
        if found != (self.size, self.blake2b, self.sha512):
            raise ColvertError(
                Code.WRONG_DIGEST,
                f"{self.name} is not the file that its Manifest pins" if found else f"{self.name} is gone",
                where=Location(str(path)),
                hint="run the same command again: it is fetched anew",
            )
        return path


def hashes(path: Path) -> tuple[str, str]:
    """BLAKE2B and SHA512 of a file, in hexadecimal."""
    blake2b, sha512 = hashlib.blake2b(), hashlib.sha512()
    with path.open("rb") as stream:
        while block := stream.read(CHUNK):
            blake2b.update(block)
            sha512.update(block)
    return blake2b.hexdigest(), sha512.hexdigest()
