"""Reproduction of a build under varied conditions, and its comparison with the first.

The first build is the user's own: what its store has is taken, each entry compared with its digest.
The second runs in another process and place, from a copy of all inputs, with an empty store.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from builder.build.session import SPACE_NEEDED, Session
from builder.errors import Code, ColvertError, Exit
from builder.pipeline.directories import discard
from builder.pipeline.entry import Entry
from builder.pipeline.events import Event
from builder.pipeline.key import walk
from builder.pipeline.store import Store
from builder.rebuild.diffoscope import explain
from builder.rebuild.inputs import copy_inputs, copy_project
from builder.rebuild.outputs import Output, compare, unlike_files
from builder.rebuild.variation import Answer, Task, build, watched
from builder.sandbox.run import command, sandbox_id, start

# the stages from which a second build can begin; what comes before is taken as input
STAGES = ("package", "tree", "usr", "initrd", "uki", "disk", "packed", "image")
OTHER_USER = 4321
OTHER_UMASK = 0o077
# Linux's own memory file system lists the newest entry first, others by hash or by age
MEMORY = Path("/dev/shm")


class Circumstance(BaseModel):
    """One thing that can differ between two builds, and how it was in each."""

    model_config = ConfigDict(frozen=True)

    name: str
    first: str
    second: str
    reaches: str

    @property
    def varied(self) -> bool:
        return self.first != self.second


class Report(BaseModel):
    """Comparison of two builds."""

    model_config = ConfigDict(frozen=True)

    version: str
    circumstances: tuple[Circumstance, ...]
    outputs: tuple[Output, ...]
    # taken from the first build's store: inputs of this comparison, not results
    not_rebuilt: tuple[str, ...]
    # stages that the first build's store has not kept, since what follows them was there
    not_compared: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether something was compared, and none of it differs."""
        return bool(self.outputs) and all(output.same for output in self.outputs)


@dataclass(frozen=True)
class Wish:
    """Scope of a second build: packages by name (None: all), targets, and the first stage to build again."""

    packages: tuple[str, ...] | None = None
    targets: tuple[str, ...] = ()
    first_stage: str = "package"
    work: Path | None = None


def reproduce(session: Session, wish: Wish, *, diffoscope: bool = False) -> Report:
    """Build twice and compare; raises only where a build itself fails."""
    session, store = watched(session)
    with _workplace(session, wish) as place:
        names = None if wish.packages is None else tuple(session.plan.find(n).cpv for n in wish.packages)
        build(session, names, wish.targets, place / "first")
        first = _checked(store, store.seen.values())
        again = _Second(session, place, wish, names)
        kept = again.furnish(first)
        began = time.time()
        second = again.build()
        made, second, alone = _matched(store, first, second, kept)
        outputs = list(compare(made, second, kept))
        if diffoscope:
            outputs = [_explained(session, output, made, second) for output in outputs]
        return Report(
            version=session.loaded.version,
            circumstances=tuple(again.circumstances(began)),
            outputs=tuple(outputs),
            not_rebuilt=_names(entry for entry in first if entry.record.key in kept),
            not_compared=_names(alone),
        )


def _names(entries: Iterable[Entry]) -> tuple[str, ...]:
    return tuple(sorted(f"{entry.record.stage} {entry.record.label}" for entry in entries))


def _matched(
    store: Store, first: Sequence[Entry], second: Sequence[Entry], kept: set[str]
) -> tuple[list[Entry], list[Entry], list[Entry]]:
    """What each build made, and what only the second did because the first's store had what follows."""
    made = [entry for entry in first if entry.record.key not in kept]
    made += _checked(store, _passed_over(store, first, second))
    stages = {entry.record.stage for entry in made}
    again = [entry for entry in second if entry.record.key not in kept]
    alone = [entry for entry in again if entry.record.stage not in stages]
    return made, [entry for entry in again if entry.record.stage in stages], alone


def _passed_over(store: Store, first: Sequence[Entry], second: Sequence[Entry]) -> Iterator[Entry]:
    """What the first build had no need to look at, since it has what is made of it."""
    seen = {entry.record.key for entry in first}
    for entry in second:
        found = store.find(entry.record.key) if entry.record.key not in seen else None
        if found is not None:
            yield found


def _explained(session: Session, output: Output, first: Sequence[Entry], second: Sequence[Entry]) -> Output:
    """An output that differs though its inputs do not, with what diffoscope says of one file."""
    if output.same or output.inherited or not (output.first and output.second):
        return output
    old, new = (
        next(e for e in side if (e.record.stage, e.record.label) == (output.stage, output.label)).out
        for side in (first, second)
    )
    # the smallest says most: a list beside the archive that holds it
    names = sorted(unlike_files(old, new), key=lambda name: (old / name).stat().st_size)
    texts = (explain(session.home, old / name, new / name) for name in names)
    try:
        text = next(filter(None, texts), "")
    except ColvertError as error:
        session.events.warning(f"diffoscope failed: {error.what}")
        return output
    return output.model_copy(update={"explained": text})


def _checked(store: Store, entries: Iterable[Entry]) -> list[Entry]:
    found = list(entries)
    for entry in found:
        store.check(entry.artifact)
    return found


@contextmanager
def _workplace(session: Session, wish: Wish) -> Iterator[Path]:
    """A directory for the second build, gone afterwards."""
    base = wish.work or (MEMORY if _fits_memory(wish) else session.home.cache / "reproduce")
    place = base.absolute() / f"colvert-another-place-{uuid.uuid4().hex}"
    place.mkdir(parents=True, mode=0o755)
    place.chmod(0o755)
    try:
        yield place
    finally:
        discard(place)


def _fits_memory(wish: Wish) -> bool:
    """Whether memory holds the second build and leaves as much again for compilers."""
    whole = wish.packages is None and wish.first_stage == "package"
    needed = 2 * SPACE_NEEDED if whole else SPACE_NEEDED
    try:
        free = shutil.disk_usage(MEMORY).free
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return False
    rows = {name: int(rest.split()[0]) << 10 for name, _, rest in (line.partition(":") for line in lines)}
    return min(free, rows.get("MemAvailable", 0) // 2) >= needed


@dataclass(frozen=True)
class _Second:
    """The second build."""

    session: Session
    place: Path
    wish: Wish
    packages: tuple[str, ...] | None

    @property
    def home(self) -> Path:
        return self.place / "home"

    @property
    def project(self) -> Path:
        return self.place / "project"

    @property
    def user(self) -> int | None:
        first = sandbox_id()
        return None if first is None else first + OTHER_USER

    def furnish(self, first: Sequence[Entry]) -> set[str]:
        """Lay out inputs and home; returns the keys of the entries that are taken as they are."""
        copy_project(self.project)
        copy_inputs(self.session, self.place / "inputs")
        state = Path(".colvert")
        if state.is_dir():
            # the checkout's development keys: who signs is an input
            (self.place / state.name).symlink_to(state.absolute())
        self.home.mkdir()
        (self.home / "sdk").symlink_to(self.session.home.sdk)
        taken = [entry for entry in first if self._is_input(entry)]
        for entry in taken:
            self.session.store.copy_to(entry, self.home / "store")
        if self.user is not None and taken:
            hand_to(self.home / "store", self.user)
        return {entry.record.key for entry in taken}

    def _is_input(self, entry: Entry) -> bool:
        stage, label = entry.record.stage.partition(":")[0], entry.record.label
        if stage == "package" and self.wish.packages is not None:
            return label not in (self.packages or ())
        if stage not in STAGES or self.wish.first_stage == STAGES[0]:
            return False
        return STAGES.index(stage) < STAGES.index(self.wish.first_stage)

    def environment(self) -> dict[str, str]:
        """Environment of the second process."""
        here = os.environ
        return {
            "PATH": here.get("PATH", os.defpath),
            "PYTHONPATH": str(self.project),
            "PYTHONHASHSEED": "4321",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TZ": "Pacific/Kiritimati" if here.get("TZ") != "Pacific/Kiritimati" else "Pacific/Niue",
            "LC_ALL": "C" if here.get("LC_ALL", here.get("LANG", "")) not in ("C", "POSIX") else "C.UTF-8",
            "HOME": str(self.place),
            "USER": "another",
            "LOGNAME": "another",
        }

    @property
    def processors(self) -> tuple[int, ...]:
        mine = sorted(os.sched_getaffinity(0))
        return tuple(mine[:1])

    @property
    def jobs(self) -> int:
        return 1 if self.session.cores > 1 else 2

    def build(self) -> list[Entry]:
        """Run the second build to its end; returns what came out."""
        task = Task(
            manifest=self.place / "inputs/manifest.yaml",
            home=self.home,
            distfiles=self.session.builder.fetcher.only or self.session.home.distfiles,
            out=self.place / "second",
            packages=self.packages,
            targets=self.wish.targets,
            jobs=self.jobs,
            umask=OTHER_UMASK,
            user=self.user,
            processors=self.processors,
            commit=self.session.loaded.commit,
            dirty=self.session.loaded.dirty,
            text_digest=self.session.loaded.text_digest,
        )
        answer = self._run(task)
        store = Store(self.home / "store")
        found = [store.find(key) for key in answer.keys]
        return _checked(store, (entry for entry in found if entry is not None))

    def _run(self, task: Task) -> Answer:
        argv = [sys.executable, "-P", "-m", "builder.rebuild.variation"]
        prepared = command(argv, env=self.environment(), cwd=self.place)
        last = ""
        with start(prepared, stdin=True) as process:
            assert process.stdin is not None and process.stdout is not None and process.stderr is not None
            process.stdin.write(task.model_dump_json().encode())
            process.stdin.close()
            for line in process.stdout:
                last = line.decode()
                if last.startswith('{"kind"'):
                    self.session.events.emit(Event.model_validate_json(last))
            errors = process.stderr.read().decode("utf-8", "replace")
            status = process.wait()
        answer = Answer.model_validate_json(last) if status == Exit.OK else Answer(failed=errors)
        if answer.failed:
            raise ColvertError(
                Code.COMMAND_FAILED,
                "the second build failed, and the first did not",
                detail=answer.failed.splitlines()[-40:],
            )
        return answer

    def circumstances(self, began: float) -> Iterator[Circumstance]:
        """The varied conditions, as measured, and the programs that they apply to."""

        def row(name: str, first: object, second: object, reaches: str) -> Circumstance:
            return Circumstance(name=name, first=str(first), second=str(second), reaches=reaches)

        env, here, mask = self.environment(), os.environ, os.umask(0o022)
        os.umask(mask)
        inside = "Colvert; sandboxed programs always see the same"
        both = "Colvert and sandboxed programs"
        yield row("path of checkout", Path(self.session.loaded.path).absolute().parent, self.place, inside)
        yield row("path of home", self.session.home.root, self.home, inside)
        mine = sandbox_id()
        yield row("user id", os.geteuid() if mine is None else mine, self.user or os.geteuid(), both)
        yield row("user name, HOME", here.get("HOME", ""), env["HOME"], inside)
        yield row("time zone", here.get("TZ", "(the machine's)"), env["TZ"], inside)
        yield row("locale", here.get("LC_ALL", here.get("LANG", "(none)")), env["LC_ALL"], inside)
        yield row("umask at start", f"{mask:04o}", f"{OTHER_UMASK:04o}", "Colvert, which sets its own: 0022")
        yield row("processors", len(os.sched_getaffinity(0)), len(self.processors), both)
        yield row("compile jobs", self.session.cores, self.jobs, both)
        yield row("Python's hash seed", here.get("PYTHONHASHSEED", "random"), env["PYTHONHASHSEED"], inside)
        yield row("order of listing", "the file system's", "its reverse", "Colvert: every listing and copy")
        disk = "the home's file system"
        same = listing(self.session.home.cache) == listing(self.home)
        yield row("order on disk", disk, disk if same else "another, as measured", both)
        yield row("clock", f"{began:.0f} or before", f"{time.time():.0f}", both)


def listing(place: Path) -> list[str]:
    """The order in which a file system lists sixty names that were made in one order."""
    probe = place / f"order-{uuid.uuid4().hex}"
    probe.mkdir()
    try:
        for number in range(60):
            (probe / f"name{number}").touch()
        return os.listdir(probe)
    finally:
        shutil.rmtree(probe)


def hand_to(place: Path, owner: int) -> None:
    """Change the owner of everything in a directory to the user who builds there."""
    for _, item in walk(place):
        os.chown(item.path, owner, owner, follow_symlinks=False)


def report_json(report: Report) -> str:
    """The report as one JSON object."""
    return json.dumps({"same": report.same, **report.model_dump(mode="json")}, ensure_ascii=False)
