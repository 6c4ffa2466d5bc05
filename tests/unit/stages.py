"""Stages that need no SDK, and what runs them: for the tests of the pipeline."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from builder.errors import Code, ColvertError
from builder.pipeline.artifact import Artifact, Part
from builder.pipeline.code import CodeDigests
from builder.pipeline.entry import Entry
from builder.pipeline.events import Event, Events
from builder.pipeline.executor import Executor
from builder.pipeline.stage import Local, Stage, Work
from builder.pipeline.store import Store

# read once for all tests
CODE = CodeDigests()


@dataclass(frozen=True)
class NoSdk:
    """A toolchain that nothing is started in."""

    root: Path = Path("/nonexistent")
    id: str = "none"


def local(root: Path) -> Local:
    """Places of a stage below a directory."""
    return Local(root / "logs", root / "failed", root / "distfiles", root / "slots", root / "metadata")


def executor(root: Path, seen: list[Event] | None = None) -> Executor:
    """What runs stages in a store at `root`, as a process that starts now would."""
    events = Events(*([seen.append] if seen is not None else []))
    return Executor(Store(root), events, NoSdk(), local(root.parent), CODE)


@dataclass(frozen=True)
class Text(Stage):
    """out/file with a text."""

    name: ClassVar[str] = "text"

    text: str

    @property
    def label(self) -> str:
        return self.text[:20]

    def run(self, work: Work) -> None:
        (work.out / "file").write_text(self.text)


@dataclass(frozen=True)
class Files(Stage):
    """Files with the texts given by their paths; a path that ends in * is a program."""

    name: ClassVar[str] = "files"

    files: Mapping[str, str]
    links: Mapping[str, str] | None = None

    @property
    def label(self) -> str:
        return ", ".join(self.files)[:20]

    def run(self, work: Work) -> None:
        for name, text in self.files.items():
            path = work.out / name.rstrip("*")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755 if name.endswith("*") else 0o644)
        for name, target in (self.links or {}).items():
            (work.out / name).parent.mkdir(parents=True, exist_ok=True)
            (work.out / name).symlink_to(target)


@dataclass(frozen=True)
class Copy(Stage):
    """out/copy: a checkout of an input."""

    name: ClassVar[str] = "copy"

    source: Artifact | Part

    @property
    def label(self) -> str:
        return "copy"

    def run(self, work: Work) -> None:
        work.checkout(self.source, work.out / "copy")


@dataclass(frozen=True)
class Failing(Stage):
    """Leaves half of its output and fails."""

    name: ClassVar[str] = "failing"

    @property
    def label(self) -> str:
        return "failing"

    def run(self, work: Work) -> None:
        (work.out / "half").write_text("x")
        raise ColvertError(Code.COMMAND_FAILED, "no")


@dataclass(frozen=True)
class Slow(Stage):
    """Writes for two seconds; the file `started` says that it does."""

    name: ClassVar[str] = "slow"

    started: str

    @property
    def label(self) -> str:
        return "slow"

    def run(self, work: Work) -> None:
        with (work.out / "file").open("w") as stream:
            for number in range(200):
                stream.write(f"{number}\n")
                stream.flush()
                Path(self.started).touch()
                time.sleep(0.01)


def writable(entry: Entry, name: str) -> Path:
    """A file of the store, made writable as only somebody who means harm does."""
    path = entry.out / name
    path.chmod(0o644)
    return path


def damage(entry: Entry, name: str = "file", text: str = "damage") -> None:
    """Change a file of the store behind its back."""
    writable(entry, name).write_text(text)


def remove(path: Path) -> None:
    """Delete a directory of the store behind its back."""
    shutil.rmtree(path)
