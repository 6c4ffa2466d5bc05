"""The initrd, made of the image's own files as the image itself says.

`usr/lib/colvert/initrd.list` names what to take, one directive a line:

    file GLOB          files (a directory: all below it) with the libraries they need
    dlopen SONAME      a library that a program opens when it needs it
    link PATH TARGET   a symbolic link
    dir PATH [MODE]    a directory

Then everything below `usr/lib/colvert/initrd/` is laid over. Nothing of the image is run.

The result is several archives, compressed one by one, which the kernel unpacks one after another
(Documentation/driver-api/early-userspace/buffer-format.rst): what did not change from one
version to the next is then the same bytes again, and an update's delta is small.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from builder.assembly.root import COMPAT, INNER, Root
from builder.errors import Code, ColvertError, Location, raise_all
from builder.formats.cpio import Member, write_cpio
from builder.formats.elf import is_elf, read_elf
from builder.pipeline.files import kind
from builder.pipeline.inside import Inside
from builder.pipeline.key import walk
from builder.tools.workspace import bench

LIST = "usr/lib/colvert/initrd.list"
OVERLAY = "usr/lib/colvert/initrd"
LIBRARY_FOLDERS = ("usr/lib", "usr/lib/systemd")
MOUNT_POINTS = {"dev": 0o755, "etc": 0o755, "proc": 0o555, "root": 0o700, "run": 0o755, "sys": 0o555,
                "sysroot": 0o755, "tmp": 0o1777, "var": 0o755}  # fmt: skip
# 21 MB: 1.0 s of processor time, 7.6 MB; level 12 saves 0.7 % in 2.3 s, level 19 saves 11 % in 15.5 s
ZSTD_LEVEL = 9
# A file from this size on is an archive by itself. 21 MB in one archive: 8.10 MB, with limits of
# 1 MiB: 8.11, 256 KiB: 8.25, 100 KiB: 8.32
ALONE_FROM = 128 << 10
# differs in every version, so it is the last archive
RELEASE = "usr/lib/os-release"


@dataclass(frozen=True)
class InitrdReport:
    """Contents of an initrd."""

    files: int
    unpacked: int
    packed: int


@dataclass
class _Collector:
    """Collects members from a tree, each file with what it needs."""

    root: Root
    members: dict[str, Member] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def add(self, name: str, *, where: Location | None) -> None:
        """Take a path, the links on the way to it, its libraries and, for a directory, all below it."""
        final, links = self.root.resolve(name)
        for link in links:
            self._put(link, Member.link(os.readlink(self.root.path / link)))
        path = self.root.path / final
        if not final:
            raise ColvertError(
                Code.IMAGE_INVALID, f"/{name} resolves to /, the root of the image", where=where
            )
        if final in self._seen:
            return
        self._seen.add(final)
        if path.is_dir():
            self._put(final, Member.directory(stat.S_IMODE(path.stat().st_mode)))
            for child in sorted(os.listdir(path)):
                self.add(f"{final}/{child}", where=where)
        elif path.is_file():
            self._put(final, Member.file(path, stat.S_IMODE(path.stat().st_mode)))
            self._libraries(final, path, where)
        elif path.exists():
            what = (
                f"/{final} is a {kind(path.stat().st_mode)}: only files, directories and links are supported"
            )
            raise ColvertError(Code.IMAGE_INVALID, what, where=where)
        else:
            raise ColvertError(
                Code.IMAGE_INVALID, f"/{name} resolves to /{final}, which does not exist", where=where
            )

    def _libraries(self, name: str, path: Path, where: Location | None) -> None:
        elf = read_elf(path)
        if elf is None and is_elf(path):
            raise ColvertError(
                Code.IMAGE_INVALID,
                f"/{name} is an ELF file that cannot be read (damaged, or not for 64 bits)",
                where=where,
                hint="build its package for the image's architecture",
            )
        if elf is None:
            return
        if elf.interpreter:
            self.add(elf.interpreter.lstrip("/"), where=where)
        origin = str(PurePosixPath(name).parent)
        search = [part.replace("$ORIGIN", f"/{origin}").lstrip("/") for part in elf.search]
        for soname in elf.needed:
            self.library(soname, search, asked_by=name, where=where)

    def library(self, soname: str, search: list[str], *, asked_by: str, where: Location | None) -> None:
        """Take a library from the first directory that has it."""
        for folder in [*search, *LIBRARY_FOLDERS]:
            if self.root.exists(f"{folder}/{soname}"):
                self.add(f"{folder}/{soname}", where=where)
                return
        raise ColvertError(
            Code.IMAGE_INVALID,
            f"library {soname}, required by {asked_by}, is not in the image",
            where=where,
            hint="add the package that installs it to `packages` in the manifest",
        )

    def _put(self, name: str, member: Member) -> None:
        self.members.setdefault(name, member)

    def parents(self) -> None:
        """Add the directories that hold members and were not asked for themselves."""
        for name in list(self.members):
            for parent in PurePosixPath(name).parents:
                if parent.name:
                    self._put(str(parent), Member.directory())


def collect(tree: Path, side: Path) -> dict[str, Member]:
    """All members of the initrd."""
    collector = _Collector(Root(tree))
    _frame(collector, tree)
    _read_list(collector, side)
    _lay_over(collector, side / OVERLAY)
    collector.parents()
    return collector.members


def make_initrd(
    tree: Path, side: Path, out: Path, *, sdk_root: Path, epoch: int, level: int = ZSTD_LEVEL
) -> InitrdReport:
    """Build the initrd of the image in `tree` to `out`.

    `side` holds what steers it (LIST and OVERLAY below it): not part of the image itself.
    """
    members = collect(tree, side)
    with bench(out, sdk_root, {}) as table:
        names = []
        for number, archive in enumerate(split(members)):
            names.append(f"{number:03}.cpio")
            raw = table.work / names[-1]
            with raw.open("wb") as stream:
                write_cpio(archive, stream, epoch=epoch)
            raw.chmod(0o644)
        # one thread or many: with at least one worker zstd cuts its work the same way
        table.run("zstd", "-q", f"-{level}", "-T2", *map(table.target, names))
        unpacked = sum((table.work / name).stat().st_size for name in names)
        with (table.work / "initrd").open("wb") as stream:
            for name in names:
                stream.write((table.work / f"{name}.zst").read_bytes())
        table.take("initrd", out)
    return InitrdReport(len(members), unpacked, out.stat().st_size)


def split(members: Mapping[str, Member]) -> list[dict[str, Member]]:
    """The archives of an initrd: directories, links and small files, then each large file, then RELEASE."""
    alone = [
        name
        for name, member in sorted(members.items())
        if name != RELEASE and stat.S_ISREG(member.mode) and member.size >= ALONE_FROM
    ]
    last = [RELEASE] if RELEASE in members else []
    first = {name: member for name, member in members.items() if name not in {*alone, *last}}
    return [first, *({name: members[name]} for name in [*alone, *last])]


def _frame(collector: _Collector, tree: Path) -> None:
    """What every initrd has: mount points, compatibility links, init, its own os-release."""
    members = collector.members
    for name, mode in MOUNT_POINTS.items():
        members[name] = Member.directory(mode)
    for name, target in COMPAT.items():
        members[name] = Member.link(target)
    for name, target in INNER.items():
        members[name] = Member.link(PurePosixPath(target).name)
    members["var/run"] = Member.link("../run")
    members["init"] = Member.link("usr/lib/systemd/systemd")
    with Inside(tree) as inside:
        members[RELEASE] = Member.file(inside.read(RELEASE))
    members["etc/os-release"] = Member.link("../usr/lib/os-release")
    members["etc/initrd-release"] = Member.link("../usr/lib/os-release")


def _read_list(collector: _Collector, side: Path) -> None:
    errors: list[ColvertError] = []
    for number, line in enumerate(_list_text(side).splitlines(), start=1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        try:
            _directive(collector, words, Location(f"/{LIST}", number))
        except ColvertError as error:
            errors.append(error)
    raise_all(errors)


def _list_text(side: Path) -> str:
    try:
        with Inside(side) as inside:
            return inside.read(LIST).decode()
    except FileNotFoundError:
        raise ColvertError(
            Code.IMAGE_INVALID,
            f"no package installs /{LIST}",
            hint="add sys-apps/colvert-init to `packages` in the manifest",
        ) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ColvertError(Code.IMAGE_INVALID, "not UTF-8", where=Location(f"/{LIST}", line)) from None


def _directive(collector: _Collector, words: list[str], where: Location) -> None:
    match words:
        case ["file", pattern]:
            found = list(collector.root.glob(pattern.lstrip("/")))
            if not found:
                raise ColvertError(
                    Code.IMAGE_INVALID, f"no file in the image matches {pattern}", where=where,
                    hint="add the package that installs it to `packages` in the manifest",
                )  # fmt: skip
            for name in found:
                collector.add(name, where=where)
        case ["dlopen", soname]:
            collector.library(soname, [], asked_by="a program of the initrd", where=where)
        case ["link", path, target]:
            collector.members[_place(path, where)] = Member.link(target)
        case ["dir", path]:
            collector.members[_place(path, where)] = Member.directory()
        case ["dir", path, mode] if re.fullmatch("[0-7]{3,4}", mode):
            collector.members[_place(path, where)] = Member.directory(int(mode, 8))
        case _:
            raise ColvertError(
                Code.IMAGE_INVALID, f"unknown directive: {' '.join(words)}", where=where,
                hint="use file GLOB, dlopen SONAME, link PATH TARGET or dir PATH [MODE]",
            )  # fmt: skip


def _place(path: str, where: Location) -> str:
    """A path of the initrd, as a member's name."""
    name = path.strip("/")
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise ColvertError(
            Code.IMAGE_INVALID,
            f"invalid path: {path}",
            where=where,
            hint="remove `.`, `..` and double slashes",
        )
    return name


def _lay_over(collector: _Collector, overlay: Path) -> None:
    if not overlay.is_dir():
        return
    for name, entry in walk(overlay):
        path = Path(entry.path)
        if entry.is_symlink():
            collector.members[name] = Member.link(os.readlink(path))
        elif entry.is_dir():
            collector.members.setdefault(name, Member.directory(stat.S_IMODE(path.stat().st_mode)))
        elif not entry.is_file():
            what = f"/{OVERLAY}/{name} is a {kind(path.stat().st_mode)}"
            raise ColvertError(Code.IMAGE_INVALID, f"{what}: only files, directories and links are supported")
        else:
            collector.members[name] = Member.file(path, stat.S_IMODE(path.stat().st_mode))
