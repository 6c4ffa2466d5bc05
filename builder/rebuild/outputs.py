"""Comparison of two builds' outputs, and the differences within each."""

from __future__ import annotations

import os
import stat
import struct
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from builder.formats.gpt import SECTOR
from builder.pipeline.entry import Entry
from builder.pipeline.key import digest_content, walk

CHUNK = 1 << 20
TELL = 20


class Output(BaseModel):
    """One stage's output in both builds; a digest that is empty: it is not there."""

    model_config = ConfigDict(frozen=True)

    stage: str
    label: str
    files: int
    first: str
    second: str
    # inputs of the stage that were not the same already: the difference comes from there
    inherited: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    # what diffoscope says of the smallest file that differs
    explained: str = ""

    @property
    def same(self) -> bool:
        return self.first == self.second


def compare(first: Sequence[Entry], second: Sequence[Entry], taken: set[str]) -> Iterator[Output]:
    """Every output of either build, by stage and label; entries with a key in `taken` are inputs."""
    old, new = _by_name(first), _by_name([item for item in second if item.record.key not in taken])
    for name in dict.fromkeys((*old, *new)):
        yield _output(name, old.get(name), new.get(name))


def _by_name(entries: Sequence[Entry]) -> dict[tuple[str, str], Entry]:
    return {(entry.record.stage, entry.record.label): entry for entry in entries}


def _output(name: tuple[str, str], old: Entry | None, new: Entry | None) -> Output:
    there = old or new
    assert there is not None
    output = Output(
        stage=name[0],
        label=name[1],
        files=sum(item.is_file(follow_symlinks=False) for _, item in walk(there.out)),
        first=old.digest if old else "",
        second=new.digest if new else "",
    )
    if output.same:
        return output
    if old is None or new is None:
        what = f"only in the {'first' if old else 'second'} build"
        return output.model_copy(update={"differences": (what,)})
    return output.model_copy(
        update={
            "inherited": tuple(_unequal(old.record.inputs, new.record.inputs)),
            "differences": tuple(compare_trees(old.out, new.out)),
        }
    )


def _unequal(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    return [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]


def compare_trees(old: Path, new: Path) -> list[str]:
    """The differences of two directories, one line per path, at most twenty."""
    lines = [f"{name}: {what}" for name, what in _unlike(old, new)]
    return lines if len(lines) <= TELL else [*lines[:TELL], f"and {len(lines) - TELL} more"]


def unlike_files(old: Path, new: Path) -> list[str]:
    """The files that are in both directories with another content."""
    return [name for name, _ in _unlike(old, new) if (old / name).is_file() and (new / name).is_file()]


def _unlike(old: Path, new: Path) -> Iterator[tuple[str, str]]:
    here, there = dict(walk(old)), dict(walk(new))
    for name in sorted({*here, *there}):
        if name not in there:
            yield name, "only in the first"
        elif name not in here:
            yield name, "only in the second"
        elif what := _unlike_paths(Path(here[name].path), Path(there[name].path)):
            yield name, what


def _unlike_paths(old: Path, new: Path) -> str:
    a, b = old.lstat(), new.lstat()
    if stat.S_IFMT(a.st_mode) != stat.S_IFMT(b.st_mode):
        return "different file types"
    if old.is_symlink():
        links = os.readlink(old), os.readlink(new)
        return "" if links[0] == links[1] else f"link targets {links[0]} and {links[1]}"
    what = "" if a.st_mode == b.st_mode else f"mode {a.st_mode & 0o7777:04o} and {b.st_mode & 0o7777:04o}"
    if not stat.S_ISREG(a.st_mode):
        return what
    if a.st_size == b.st_size and digest_content(old, a.st_size) == digest_content(new, b.st_size):
        return what
    return "; ".join(filter(None, (what, summary(old, new))))


def summary(old: Path, new: Path) -> str:
    """Where two files begin to differ, and which part of them that is."""
    sizes = old.stat().st_size, new.stat().st_size
    parts = [f"{sizes[0]} and {sizes[1]} bytes"] if sizes[0] != sizes[1] else []
    offset = first_difference(old, new)
    parts.append(f"differ from byte {offset}")
    inside = _partition(old, offset) or _member(old, offset)
    return ", ".join([*parts, *([f"in {inside}"] if inside else [])])


def first_difference(old: Path, new: Path) -> int:
    """The offset of the first byte that is not the same; the shorter one's end, if it is a start."""
    with old.open("rb") as a, new.open("rb") as b:
        position = 0
        while True:
            position = min(_data(a.fileno(), position), _data(b.fileno(), position))
            a.seek(position)
            b.seek(position)
            one, two = a.read(CHUNK), b.read(CHUNK)
            if one != two:
                pairs = enumerate(zip(one, two, strict=False))
                return position + next((n for n, (x, y) in pairs if x != y), min(len(one), len(two)))
            if not one:
                return position
            position += len(one)


def _data(descriptor: int, position: int) -> int:
    """Where the next data is: holes are passed over."""
    try:
        return os.lseek(descriptor, position, os.SEEK_DATA)
    except OSError:
        return max(position, os.fstat(descriptor).st_size)


def _partition(disk: Path, offset: int) -> str:
    """The partition of a GPT disk (UEFI 5.3) that holds a byte."""
    with disk.open("rb") as stream:
        stream.seek(SECTOR)
        header = stream.read(SECTOR)
        if header[:8] != b"EFI PART":
            return ""
        start, count, size = struct.unpack_from("<QII", header, 72)
        stream.seek(start * SECTOR)
        table = stream.read(count * size)
    for place in range(0, len(table), size):
        first, last = struct.unpack_from("<QQ", table, place + 32)
        if table[place : place + 16].strip(b"\0") and first * SECTOR <= offset < (last + 1) * SECTOR:
            label = table[place + 56 : place + 128].decode("utf-16-le").rstrip("\0")
            return f"partition {place // size + 1} ({label}), byte {offset - first * SECTOR}"
    return "the partition table or between partitions"


def _member(archive: Path, offset: int) -> str:
    """The member of a tar that holds a byte."""
    try:
        with tarfile.open(archive, "r:") as tar:
            names = [item.name for item in tar if item.offset <= offset]
    except (tarfile.TarError, OSError):
        return ""
    return f"member {names[-1]}" if names else ""
