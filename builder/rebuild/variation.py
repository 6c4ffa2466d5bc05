"""Second build of `colvert reproduce`: a process of its own under varied conditions.

Started as a program with a `Task` on its input; it prints the build's events, one JSON
object a line, and its result at the end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import BaseModel, ConfigDict

from builder.build.image import build_images
from builder.build.session import Request, Session, open_session
from builder.errors import ColvertError
from builder.pipeline.entry import Entry
from builder.pipeline.events import Event, Events
from builder.pipeline.store import Store
from builder.sandbox import run as sandbox


class Task(BaseModel):
    """The second build, and how its process differs from the first."""

    model_config = ConfigDict(frozen=True)

    manifest: Path
    home: Path
    distfiles: Path
    out: Path
    packages: tuple[str, ...] | None
    targets: tuple[str, ...]
    jobs: int
    umask: int
    user: int | None
    processors: tuple[int, ...]
    # whose copy the manifest is; a release may say so
    commit: str
    dirty: bool
    text_digest: str


class Answer(BaseModel):
    """The last line: the keys of all that was made or taken, or why it failed."""

    model_config = ConfigDict(frozen=True)

    keys: tuple[str, ...] = ()
    failed: str = ""


class Watched(Store):
    """A store that remembers which entries a build made or took."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.seen: dict[str, Entry] = {}

    def find(self, key: str) -> Entry | None:
        found = super().find(key)
        if found is not None:
            self.seen[key] = found
        return found

    def publish(self, out: Path, made: Mapping[str, object]) -> Entry:
        entry = super().publish(out, made)
        self.seen[entry.record.key] = entry
        return entry


def watched(session: Session) -> tuple[Session, Watched]:
    """The same build, opened afresh, whose stages work in a store that remembers."""
    store = Watched(session.home.store)
    return replace(session, store=store), store


def build(session: Session, packages: tuple[str, ...] | None, targets: tuple[str, ...], out: Path) -> None:
    """Build the named packages (None: all), and the images of the targets."""
    if packages is not None:
        session.build_packages(packages)
    elif not targets:
        session.build_packages()
    if targets:
        build_images(session, targets, out)


class _Backwards:
    """os.scandir in the other order."""

    def __init__(self, path: Any = ".") -> None:
        with _SCANDIR(path) as entries:
            self._left = list(entries)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if not self._left:
            raise StopIteration
        return self._left.pop()

    def __enter__(self) -> _Backwards:
        return self

    def __exit__(
        self, _t: type[BaseException] | None, _e: BaseException | None, _b: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._left = []


_SCANDIR = os.scandir
_LISTDIR = os.listdir


def list_backwards() -> None:
    """From here on, this process sees every directory in the other order, and copies in that order."""
    os.scandir = _Backwards  # type: ignore[assignment]
    os.listdir = lambda path=".": _LISTDIR(path)[::-1]  # type: ignore[assignment]


def _perform(task: Task) -> Answer:
    os.umask(task.umask)
    os.sched_setaffinity(0, task.processors)
    list_backwards()
    if task.user is not None:
        sandbox.UNPRIVILEGED_ID = task.user
    events = Events(_say)
    request = Request(task.manifest, task.home, task.jobs, mirrors=(str(task.distfiles),))
    session = open_session(request, events)
    session.loaded = replace(
        session.loaded, commit=task.commit, dirty=task.dirty, text_digest=task.text_digest
    )
    session, store = watched(session)
    build(session, task.packages, task.targets, task.out)
    return Answer(keys=tuple(store.seen))


def _say(event: Event) -> None:
    sys.stdout.write(event.model_dump_json(exclude_defaults=True) + "\n")
    sys.stdout.flush()


def main() -> None:
    task = Task.model_validate_json(sys.stdin.buffer.read())
    try:
        answer = _perform(task)
    except ColvertError as error:
        answer = Answer(failed=str(error))
    print(answer.model_dump_json())


if __name__ == "__main__":
    main()
