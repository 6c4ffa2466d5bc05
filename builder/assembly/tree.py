"""Formats: the tree, all packages of an image laid together into one /usr.

Every path has exactly one owner: the package that brings it, or the rule (`rule:NAME`) that
makes it. Files are hard links to the packages' own; a rule that changes a file replaces it.
What is not for the running system's /usr, such as the kernel, goes to `side`.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from builder.assembly.exclude import masked
from builder.assembly.root import COMPAT, INNER
from builder.errors import Code, ColvertError, raise_all
from builder.pipeline.key import walk

# /etc of the packages: the lower layer of the running system's /etc
ETC = "usr/share/colvert/etc"
# Needed to make the UKI, the ESP and the initrd; of no use once they are made.
SIDE = (
    "usr/lib/colvert/initrd",
    "usr/lib/colvert/initrd.list",
    "usr/lib/modules/*/vmlinuz",
    "usr/lib/modules/*/config",
    "usr/lib/systemd/boot/efi/*.stub",
)
# Empty directories of these are made by systemd or the kernel anyway.
MADE_AT_BOOT = frozenset(
    {"dev", "proc", "run", "sys", "tmp", "boot", "efi", "home", "root", "mnt", "opt", "srv"}
)


@dataclass(frozen=True)
class PackageImage:
    """One binary package, unpacked: `image` holds its usr, etc and var."""

    cpv: str
    image: Path
    licences: tuple[str, ...] = ()
    slot: str = "0"
    description: str = ""
    homepage: str = ""


@dataclass
class Tree:
    """A tree in the making: where it is, and who owns each path in it."""

    out: Path
    owners: dict[str, str] = field(default_factory=dict)
    # directories of /var that packages want: path -> (mode, owner)
    var: dict[str, tuple[int, str]] = field(default_factory=dict)

    def own(self, name: str, owner: str) -> None:
        """Note who brings a path, and all its parents unless somebody did before."""
        self.owners[name] = owner
        parts = name.split("/")
        for depth in range(1, len(parts)):
            self.owners.setdefault("/".join(parts[:depth]), owner)

    def place(self, name: str, owner: str) -> Path:
        """A free path for a rule to write: what was there goes, parents are made."""
        path = self.out / name
        make_parents(path)
        if path.is_symlink() or path.is_file():
            path.unlink()
        self.own(name, owner)
        return path

    def write(self, name: str, content: bytes | str, owner: str, mode: int = 0o644) -> None:
        """Write a file as a rule."""
        path = self.place(name, owner)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)

    def link(self, name: str, target: str, owner: str) -> None:
        """Make a symbolic link as a rule."""
        self.place(name, owner).symlink_to(target)


def make_parents(path: Path) -> None:
    """Make the directories above a path, with the same mode whatever the umask."""
    missing = [parent for parent in path.parents if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir()
        parent.chmod(0o755)


@dataclass(frozen=True)
class _Source:
    """One path of one package and where it goes."""

    package: PackageImage
    path: Path
    name: str


def merge(packages: Sequence[PackageImage], out: Path, *, side: Path, exclude: Sequence[str] = ()) -> Tree:
    """Lay packages together in `out`; two packages with the same file are an error that names both."""
    tree = Tree(out)
    taken: dict[str, _Source] = {}
    problems: list[ColvertError] = []
    for folder in (out, side):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
    links = _Linker()
    for package in sorted(packages, key=lambda package: package.cpv):
        for source in _sources(package, tuple(exclude), problems):
            other = taken.get(source.name)
            if other is None:
                taken[source.name] = source
                _lay(tree, side, source, links)
            elif not _agree(source, other):
                problems.append(_collision(source, other))
    raise_all(problems)
    return tree


def _sources(
    package: PackageImage, exclude: tuple[str, ...], problems: list[ColvertError]
) -> Iterator[_Source]:
    """What of a package goes into the tree, under the names it has there."""
    skip: str | None = None
    for name, entry in walk(package.image):
        if skip is not None and name.startswith(skip):
            continue
        path = Path(entry.path)
        if masked(name, path, exclude) or _is_compat(name, path):
            skip = f"{name}/"
            continue
        try:
            there = _destination(name, path)
        except ColvertError as error:
            problems.append(ColvertError(error.code, f"{package.cpv}: {error.what}", hint=error.hint))
            continue
        yield _Source(package, path, there)


def _is_compat(name: str, path: Path) -> bool:
    return name in COMPAT and path.is_symlink()


def _destination(name: str, path: Path) -> str:
    """The place in the tree of a path in a package."""
    first, _, rest = name.partition("/")
    if first == "usr":
        for old, new in INNER.items():
            if name == old and not path.is_symlink():
                return new
            if name.startswith(f"{old}/"):
                return f"{new}/{name[len(old) + 1 :]}"
        return name
    if first == "etc":
        return f"{ETC}/{rest}" if rest else ETC
    if first in COMPAT:
        return f"{COMPAT[first]}/{rest}" if rest else COMPAT[first]
    if path.is_dir() and not path.is_symlink():
        return name
    raise ColvertError(
        Code.IMAGE_INVALID,
        f"the image has no place for /{name}: only /usr and /etc ship",
        hint="let the ebuild make it at boot with tmpfiles.d, or install it below /usr",
    )


def _lay(tree: Tree, side: Path, source: _Source, links: _Linker) -> None:
    first = source.name.split("/", 1)[0]
    status = os.lstat(source.path)
    if first != "usr":
        if source.name not in ("var", *MADE_AT_BOOT) and first not in ("run", "tmp", "dev", "proc", "sys"):
            tree.var[source.name] = (stat.S_IMODE(status.st_mode), source.package.cpv)
        return
    aside = _goes_aside(source.name)
    base = side if aside else tree.out
    target = base / source.name
    if stat.S_ISDIR(status.st_mode):
        make_parents(target)
        target.mkdir(exist_ok=True)
        target.chmod(stat.S_IMODE(status.st_mode))
    else:
        make_parents(target)
        links.link(source.path, target, status)
    if not aside:
        tree.own(source.name, source.package.cpv)


def _goes_aside(name: str) -> bool:
    return any(fnmatchcase(name, pattern) or name.startswith(f"{pattern}/") for pattern in SIDE)


@dataclass
class _Linker:
    """Gives a file a second name; where that cannot be, a copy."""

    copying: bool = False

    def link(self, source: Path, target: Path, status: os.stat_result) -> None:
        if not self.copying and not stat.S_ISLNK(status.st_mode):
            try:
                os.link(source, target)
                return
            except OSError:
                # another file system, or its limit of names reached
                self.copying = True
        shutil.copy2(source, target, follow_symlinks=False)


def _agree(one: _Source, other: _Source) -> bool:
    if one.path.is_symlink() or other.path.is_symlink():
        both = one.path.is_symlink() and other.path.is_symlink()
        return both and os.readlink(one.path) == os.readlink(other.path)
    return one.path.is_dir() and other.path.is_dir()


def _collision(one: _Source, other: _Source) -> ColvertError:
    return ColvertError(
        Code.IMAGE_INVALID,
        f"/{one.name} comes from both {other.package.cpv} and {one.package.cpv}",
        hint="let one of the ebuilds not install it",
    )


def check_owned(tree: Tree) -> None:
    """Each path has an owner, and each owned path is there: what was declared and nothing else."""
    found = {name for name, _entry in walk(tree.out)}
    strangers = sorted(found - tree.owners.keys())
    missing = sorted(tree.owners.keys() - found)
    if strangers or missing:
        raise ColvertError(
            Code.IMAGE_INVALID,
            "the tree differs from what packages and rules declared",
            detail=[
                *(f"nobody owns /{name}" for name in strangers),
                *(f"/{name} is gone" for name in missing),
            ],
        )


def totals(owners: Mapping[str, str], root: Path) -> dict[str, int]:
    """Bytes of files per owner."""
    sums: dict[str, int] = {}
    for name, owner in owners.items():
        path = root / name
        if path.is_file() and not path.is_symlink():
            sums[owner] = sums.get(owner, 0) + path.stat().st_size
    return dict(sorted(sums.items()))
