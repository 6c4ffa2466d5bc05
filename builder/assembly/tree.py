"""The tree of an image: its packages laid together into one /usr, every path with its owner.

A path has exactly one owner: the package that brings it, or the rule (`rule:NAME`) that makes it.
Files are copies of the packages' own (sharing their blocks where the file system can). Packages
decide what is in the tree, so that it is written, and read, by `Inside` only: no link in it leads
the builder out. What is not for the running system's /usr, such as the kernel, goes to `side`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from builder.assembly.checks import problem_of
from builder.assembly.exclude import goes_aside, masked
from builder.assembly.root import COMPAT, ETC, INNER, Root
from builder.errors import Code, ColvertError, raise_all
from builder.pipeline.files import kind
from builder.pipeline.inside import Inside
from builder.pipeline.key import walk

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
    # permission bits by path below `image`, where the files there do not have their true ones
    modes: Mapping[str, int] | None = None

    def mode(self, name: str, status: os.stat_result) -> int:
        """The permission bits of a path in the package, whose status is that of the file kept."""
        own = stat.S_IMODE(status.st_mode)
        return own if self.modes is None else self.modes.get(name, own)


@dataclass
class Tree:
    """A tree under construction: its directory, and the owner of each path."""

    out: Path
    owners: dict[str, str] = field(default_factory=dict)
    # directories of /var that packages want: path -> (mode, owner)
    var: dict[str, tuple[int, str]] = field(default_factory=dict)
    inside: Inside = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        owners = self.owners
        self.inside = Inside(self.out, whose=lambda name: owners.get(name, ""))

    def own(self, name: str, owner: str) -> None:
        """Record the owner of a path, and of its parents if they have none."""
        self.owners[name] = owner
        parts = name.split("/")
        for depth in range(1, len(parts)):
            self.owners.setdefault("/".join(parts[:depth]), owner)

    # --- writing as a rule ------------------------------------------------------

    def write(self, name: str, content: bytes | str, owner: str, mode: int = 0o644) -> None:
        """Write a file as a rule; a file or link that is there goes."""
        with self._placing(name, owner):
            self.inside.write(name, content.encode() if isinstance(content, str) else content, mode)

    def link(self, name: str, target: str, owner: str) -> None:
        """Make a symbolic link as a rule; a file or link that is there goes."""
        with self._placing(name, owner):
            self.inside.symlink(target, name)

    def remove(self, name: str) -> None:
        """Remove a file or link as a rule."""
        self.inside.remove(name)
        del self.owners[name]

    @contextmanager
    def _placing(self, name: str, owner: str) -> Iterator[None]:
        """Clear a path for a rule; a failure names the rule, and whose path is in its way."""
        try:
            status = self.inside.stat(name)
            if status is not None and stat.S_ISDIR(status.st_mode):
                raise ColvertError(
                    Code.IMAGE_INVALID,
                    f"/{name} is a directory of {self.owners.get(name, 'no package')}, not a file",
                    hint="choose a path below it, or another path",
                )
            if status is not None:
                self.inside.remove(name)
            yield
        except ColvertError as error:
            raise error.but(what=f"{owner}: {error.what}") from None
        self.own(name, owner)

    # --- reading ----------------------------------------------------------------

    def listed(self, folder: str, suffix: str = "") -> list[str]:
        """The paths directly in a directory whose names end with `suffix`, sorted."""
        start = len(folder) + 1
        return sorted(
            name
            for name in self.owners
            if name.startswith(f"{folder}/") and "/" not in name[start:] and name.endswith(suffix)
        )

    def is_file(self, name: str) -> bool:
        """Whether a path is a regular file, and not a link to one."""
        status = self.inside.stat(name) if name in self.owners else None
        return status is not None and stat.S_ISREG(status.st_mode)

    def text(self, name: str) -> str:
        """The text of a file as the running system reads it; a link that leads nowhere is an empty one."""
        final = self._resolved(name)
        if final not in self.owners:
            return ""
        try:
            return self.inside.read(final).decode()
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise self._unreadable(
                final, f"line {line} is not UTF-8", "convert the file to UTF-8 (iconv -t UTF-8)"
            ) from None
        except ColvertError as error:
            raise error.but(what=f"{self.owners[final]}: {error.what}") from None

    def _resolved(self, name: str) -> str:
        """Where a path of the tree leads on the running system, as a path of the tree."""
        root = Root(self.out, ETC)
        seen = f"etc{name.removeprefix(ETC)}" if name.startswith(f"{ETC}/") else name
        return root.at(root.resolve(seen)[0]).relative_to(self.out).as_posix()

    def _unreadable(self, name: str, what: str, hint: str) -> ColvertError:
        shown = f"/etc{name.removeprefix(ETC)}" if name.startswith(f"{ETC}/") else f"/{name}"
        return ColvertError(Code.IMAGE_INVALID, f"{self.owners[name]}: {shown}: {what}", hint=hint)


@dataclass(frozen=True)
class _Source:
    """One path of one package and where it goes."""

    package: PackageImage
    path: Path
    status: os.stat_result
    mode: int
    name: str


def merge(packages: Sequence[PackageImage], out: Path, *, side: Path, exclude: Sequence[str] = ()) -> Tree:
    """Lay packages together in `out`; two packages with the same file are an error that names both."""
    for folder in (out, side):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
    merging = _Merging(Tree(out), Inside(side), tuple(exclude))
    for package in sorted(packages, key=lambda package: package.cpv):
        merging.add(package)
    raise_all(merging.problems)
    return merging.tree


@dataclass
class _Merging:
    """The laying together of packages, and all that is wrong with them."""

    tree: Tree
    side: Inside
    exclude: tuple[str, ...]
    taken: dict[str, _Source] = field(default_factory=dict)
    problems: list[ColvertError] = field(default_factory=list)

    def add(self, package: PackageImage) -> None:
        """Lay out one package; what is below a path that collides would only collide again."""
        skip: str | None = None
        for source in self._sources(package):
            if skip is not None and source.name.startswith(skip):
                continue
            other = self.taken.get(source.name)
            if other is None:
                self.taken[source.name] = source
                self._lay(source)
            elif not _agree(source, other):
                self.problems.append(_collision(source, other))
                skip = f"{source.name}/"

    def _sources(self, package: PackageImage) -> Iterator[_Source]:
        """What of a package goes into the tree, under the names it has there."""
        skip: str | None = None
        for name, entry in walk(package.image):
            if skip is not None and name.startswith(skip):
                continue
            path = Path(entry.path)
            if masked(name, path, self.exclude) or (name in COMPAT and path.is_symlink()):
                skip = f"{name}/"
                continue
            status = entry.stat(follow_symlinks=False)
            there = _destination(name, status)
            problem = problem_of(name, there, path, status)
            if problem is not None:
                self.problems.append(problem.but(what=f"{package.cpv}: {problem.what}"))
            elif there is not None:
                yield _Source(package, path, status, package.mode(name, status), there)

    def _lay(self, source: _Source) -> None:
        """Put a path into the tree or aside; one of /var is only noted."""
        first = source.name.split("/", 1)[0]
        if first != "usr":
            if source.name not in ("var", *MADE_AT_BOOT) and first not in (
                "run",
                "tmp",
                "dev",
                "proc",
                "sys",
            ):
                self.tree.var[source.name] = (source.mode, source.package.cpv)
            return
        aside = goes_aside(source.name)
        try:
            _put(source, self.side if aside else self.tree.inside)
        except FileExistsError:
            # made as the directory above a path that another name led to (usr/lib64 -> usr/lib)
            what = f"/{source.name} is a {kind(source.status.st_mode)}, but a directory for other paths"
            self.problems.append(ColvertError(Code.IMAGE_INVALID, f"{source.package.cpv}: {what}"))
        except ColvertError as error:
            self.problems.append(error.but(what=f"{source.package.cpv}: {error.what}"))
        if not aside:
            self.tree.own(source.name, source.package.cpv)


def _put(source: _Source, target: Inside) -> None:
    if stat.S_ISDIR(source.status.st_mode):
        target.make_directory(source.name, source.mode)
    elif stat.S_ISLNK(source.status.st_mode):
        target.symlink(os.readlink(source.path), source.name)
    else:
        target.copy(source.path, source.name, source.mode)


def _destination(name: str, status: os.stat_result) -> str | None:
    """The place in the tree of a path in a package; None where the image has none for it."""
    first, _, rest = name.partition("/")
    if first == "usr":
        for old, new in INNER.items():
            if name == old and not stat.S_ISLNK(status.st_mode):
                return new
            if name.startswith(f"{old}/"):
                return f"{new}/{name[len(old) + 1 :]}"
        return name
    if first == "etc":
        return f"{ETC}/{rest}" if rest else ETC
    if first in COMPAT:
        return f"{COMPAT[first]}/{rest}" if rest else COMPAT[first]
    return name if stat.S_ISDIR(status.st_mode) else None


def _agree(one: _Source, other: _Source) -> bool:
    kinds = {stat.S_IFMT(one.status.st_mode), stat.S_IFMT(other.status.st_mode)}
    if kinds == {stat.S_IFLNK}:
        return os.readlink(one.path) == os.readlink(other.path)
    return kinds == {stat.S_IFDIR}


def _collision(one: _Source, other: _Source) -> ColvertError:
    return ColvertError(
        Code.IMAGE_INVALID,
        f"/{one.name} is installed by both {other.package.cpv} and {one.package.cpv}",
        detail=[f"{source.package.cpv}: {_described(source)}" for source in (other, one)],
        hint="remove the file in src_install of one of the ebuilds",
    )


def _described(source: _Source) -> str:
    if stat.S_ISLNK(source.status.st_mode):
        return f"a symbolic link to {os.readlink(source.path)}"
    return f"a {kind(source.status.st_mode)}"


def check_owned(tree: Tree) -> None:
    """Each path has an owner, and each owned path is there: what was declared and nothing else."""
    found = {name for name, _entry in walk(tree.out)}
    strangers = sorted(found - tree.owners.keys())
    missing = sorted(tree.owners.keys() - found)
    if strangers or missing:
        raise ColvertError(
            Code.IMAGE_INVALID,
            "the tree differs from the files declared by packages and rules",
            detail=[
                *(f"/{name} has no owner" for name in strangers),
                *(f"/{name} is missing" for name in missing),
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
