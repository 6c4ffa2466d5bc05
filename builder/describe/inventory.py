"""Inventory of a release: packages, files, units and settings in one file.

It is made of the tree stage's output and goes with the release; docs/reference/inventory.md has
its keys. Equal images have equal inventories, byte for byte.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from builder.assembly.presets import SUFFIXES, UNITS
from builder.assembly.root import ETC
from builder.errors import Code, ColvertError, Location
from builder.pipeline.key import digest_file, walk
from builder.pipeline.validation import first_mistake

FILE = "inventory.json"
FORM = "colvert-inventory/1"
MAX_BYTES = 64 << 20
INSTALL = re.compile(r"^\[Install\]\s*$", re.M)
SYSCTL = ("usr/lib/sysctl.d", f"{ETC}/sysctl.d")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Package(_Part):
    """A package of the image."""

    version: str
    """Version with revision."""
    slot: str
    """Slot."""
    use: tuple[str, ...] | None = None
    """Enabled USE flags; null if unknown."""
    licences: tuple[str, ...] = ()
    """Licence names."""
    size: int = 0
    """Size of its files in the image, in bytes."""


class File(_Part):
    """A file, directory or link of the image."""

    type: Literal["file", "dir", "link"]
    """File type."""
    mode: str
    """Octal mode, four digits."""
    size: int = 0
    """Size of a file in bytes."""
    digest: str = ""
    """SHA-256 of a file, or target of a link."""
    owner: str = ""
    """Package (category/name) or rule (`rule:NAME`) that installs it; empty for a directory."""


class Kernel(_Part):
    """Kernel, its command line and its configuration."""

    release: str = ""
    """Output of `uname -r`."""
    command_line: tuple[str, ...] = ()
    """Kernel command line, split into words, without usrhash=."""
    options: Mapping[str, str] = {}
    """Enabled CONFIG_ options, without the prefix."""


class Inventory(_Part):
    """Contents of a release."""

    form: Literal["colvert-inventory/1"] = "colvert-inventory/1"
    """Name and version of this format."""
    id: str
    """ID of the operating system."""
    version: str
    """Version of the release."""
    sizes: Mapping[str, int] = {}
    """Sizes in bytes of the tree, the usr image, its hash tree, the initrd and the UKI, if known."""
    kernel: Kernel = Kernel()
    """Kernel, its command line and its configuration."""
    packages: Mapping[str, Package] = {}
    """Packages by category/name (with :SLOT if there are several)."""
    units: Mapping[str, str] = {}
    """systemd units: enabled, disabled, static (no [Install] section), alias or masked."""
    sysctl: Mapping[str, str] = {}
    """Settings of sysctl.d."""
    files: Mapping[str, File] = {}
    """Everything below /usr, by path without the leading /."""

    def text(self) -> str:
        """The text of `inventory.json`: one entry a line, sorted."""
        whole = self.model_dump(mode="json", exclude_defaults=True) | {"form": self.form}
        return _lines(whole, 0) + "\n"


def _lines(value: object, depth: int) -> str:
    """JSON in which the two outer levels have a line for each entry, so that it can be read and compared."""
    if not isinstance(value, dict) or depth == 2 or not value:
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    pad = " " * (depth + 1)
    rows = (
        f"{pad}{json.dumps(key, ensure_ascii=False)}: {_lines(value[key], depth + 1)}"
        for key in sorted(value)
    )
    return "{\n" + ",\n".join(rows) + "\n" + " " * depth + "}"


def read_inventory(path: Path) -> Inventory:
    """Read an inventory; an invalid one is an error with the place of the first mistake."""
    where = Location(str(path))
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ColvertError(Code.USAGE, f"the inventory is larger than {MAX_BYTES >> 20} MiB", where=where)
    try:
        return Inventory.model_validate_json(data)
    except ValidationError as error:
        what = f"not an inventory of the format {FORM}: {first_mistake(error)}"
        raise ColvertError(
            Code.USAGE, what, where=where, hint="pass a file or directory from OUT/VERSION/"
        ) from error


def take_files(
    tree: Path, owners: Mapping[str, str], modes: Mapping[str, int] | None = None
) -> dict[str, File]:
    """Everything in a tree; `owners` are the tree stage's, packages with their versions.

    `modes` are the true permission bits by path, where the tree is one of the store.
    """
    found = {}
    for name, entry in walk(tree):
        status = entry.stat(follow_symlinks=False)
        bits = stat.S_IMODE(status.st_mode) if modes is None else modes[name]
        mode = f"{bits:04o}"
        owner = name_of(owners.get(name, ""))
        path = Path(entry.path)
        if entry.is_symlink():
            # a link's mode says nothing and differs between file systems
            found[name] = File(type="link", mode="0777", digest=os.readlink(path), owner=owner)
        elif entry.is_dir():
            # many packages have it; that one of them came first says nothing
            found[name] = File(type="dir", mode=mode)
        else:
            found[name] = File(
                type="file",
                mode=mode,
                size=status.st_size,
                digest=digest_file(path),
                owner=owner,
            )
    return found


def name_of(cpv: str) -> str:
    """category/name of category/name-version; a rule is its own name."""
    return cpv if cpv.startswith("rule:") else split(cpv)[0]


def split(cpv: str) -> tuple[str, str]:
    """category/name and version of a package (PMS 3.2: the version is what follows the last fitting -)."""
    hit = re.fullmatch(r"(.+?)-(\d[^-]*(?:-r\d+)?)", cpv)
    return (hit[1], hit[2]) if hit else (cpv, "")


def take_units(tree: Path, on: Iterable[str]) -> dict[str, str]:
    """The units of a tree and what is to become of them; `on` are those that presets turned on."""
    found = dict.fromkeys(on, "enabled")
    for folder in (UNITS, f"{ETC}/systemd/system"):
        for path in sorted((tree / folder).glob("*")):
            if path.suffix not in SUFFIXES:
                continue
            if path.is_symlink():
                masked = os.readlink(path) == "/dev/null"
                state = "masked" if masked else "alias"
            elif path.is_file():
                state = "disabled" if INSTALL.search(path.read_text(errors="replace")) else "static"
            else:
                continue
            if state == "masked" or path.name not in found:
                found[path.name] = state
    return dict(sorted(found.items()))


def take_sysctl(tree: Path) -> dict[str, str]:
    """Settings of sysctl.d: files by name, a later line overrides an earlier one (sysctl.d(5))."""
    files: dict[str, Path] = {}
    for folder in SYSCTL:
        files |= {path.name: path for path in (tree / folder).glob("*.conf")}
    found = {}
    for name in sorted(files):
        if files[name].is_symlink() or not files[name].is_file():
            continue
        for raw in files[name].read_text().splitlines():
            key, sign, value = raw.strip().partition("=")
            key = key.strip().removeprefix("-")
            if sign and key and key[0] not in "#;":
                found[key.replace("/", ".")] = value.strip()
    return found


def take_options(config: Path) -> dict[str, str]:
    """The options of a kernel's configuration that are set."""
    if not config.is_file():
        return {}
    pairs = (line.partition("=") for line in config.read_text().splitlines() if line.startswith("CONFIG_"))
    return {key.removeprefix("CONFIG_"): value for key, _, value in pairs}
