"""Scheduler of one graph of jobs on one pool, until all are done or one fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter

from builder.errors import Code, ColvertError, raise_all
from builder.pipeline.entry import Entry
from builder.pipeline.events import Event, Kind
from builder.pipeline.executor import Executor as StageExecutor
from builder.pipeline.stage import Stage

Entries = Mapping[str, Entry]


@dataclass(frozen=True)
class Weight:
    """Resources of a running job: processors (fractions allowed) and bytes of memory."""

    cores: float = 0.5
    memory: int = 256 << 20


@dataclass(frozen=True)
class Job:
    """A stage that can be made once the jobs that it needs are done.

    `about` is its subject: the stage's name, and its label without a version. `prepare` is called
    with the names of all jobs that are not done before the stage runs; not where the store has it. Of the
    jobs that are ready, those with the highest `priority` start first.
    """

    name: str
    about: tuple[str, str]
    needs: tuple[str, ...]
    make: Callable[[Entries], Stage]
    weight: Weight = field(default_factory=Weight)
    priority: float = 0.0
    prepare: Callable[[AbstractSet[str]], None] | None = None


@dataclass(frozen=True)
class Capacity:
    """Resources of this machine for jobs."""

    cores: float
    memory: int

    def fits(self, running: Iterable[Job], job: Job) -> bool:
        """Whether a job can start beside those that run; alone, every job can."""
        others = list(running)
        cores = sum(one.weight.cores for one in others) + job.weight.cores
        memory = sum(one.weight.memory for one in others) + job.weight.memory
        return not others or (cores <= self.cores + 1e-9 and memory <= self.memory)


def machine_capacity(cores: int) -> Capacity:
    """`cores` processors and three quarters of this machine's memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Capacity(cores, memory * 3 // 4)


def closure(jobs: Iterable[Job], wanted: Iterable[str]) -> list[Job]:
    """The wanted jobs and all that they need."""
    named = {job.name: job for job in jobs}
    seen: dict[str, Job] = {}
    todo = list(wanted)
    while todo:
        name = todo.pop()
        if name not in seen:
            seen[name] = named[name]
            todo += named[name].needs
    return [job for name, job in named.items() if name in seen]


def order(jobs: Iterable[Job]) -> TopologicalSorter[str]:
    """The jobs' graph, ready to be walked. Raises UNRESOLVABLE for a circle, naming its members."""
    sorter = TopologicalSorter({job.name: job.needs for job in jobs})
    try:
        sorter.prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise ColvertError(Code.UNRESOLVABLE, f"circular dependencies: {circle}") from error
    return sorter


class Scheduler:
    """Runs graphs of jobs on one pool."""

    def __init__(
        self,
        stages: StageExecutor,
        capacity: Capacity,
        pool: Executor | None = None,
        *,
        on_interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        self.stages = stages
        self.capacity = capacity
        # called when a run is broken off, so that what runs ends soon
        self.on_interrupt = on_interrupt
        # more threads than the lightest jobs can fill
        threads = max(4, int(4 * capacity.cores))
        self.pool = pool or ThreadPoolExecutor(threads, thread_name_prefix="job")

    def run(self, jobs: Iterable[Job]) -> dict[str, Entry]:
        """Run all jobs; returns their entries by name.

        After a failure no further job is started; those that run come to their end, since their work is
        worth keeping, and all failures are raised together.
        """
        return _Run(self, {job.name: job for job in jobs}).to_the_end()


class _Run:
    """One graph while it runs."""

    def __init__(self, scheduler: Scheduler, jobs: dict[str, Job]) -> None:
        self.scheduler = scheduler
        self.jobs = jobs
        self.order = order(jobs.values())
        self.done: dict[str, Entry] = {}
        self.ready: dict[str, Stage] = {}
        self.running: dict[Future[Entry], Job] = {}
        self.failures: list[ColvertError] = []
        # what no job should raise, such as a full disk
        self.crash: Exception | None = None

    @property
    def ending(self) -> bool:
        """Whether nothing new is begun."""
        return bool(self.failures) or self.crash is not None

    def to_the_end(self) -> dict[str, Entry]:
        try:
            while self.order.is_active():
                self._take_from_store()
                self._start()
                if not self.running:
                    break
                self._collect()
        except BaseException:
            self.scheduler.on_interrupt()
            wait(self.running)
            raise
        if self.crash is not None:
            raise self.crash
        raise_all(self.failures)
        return self.done

    def _take_from_store(self) -> None:
        """Finish every job whose stage the store has, and those which that makes ready, and so on."""
        while not self.ending and (names := self.order.get_ready()):
            for name in names:
                try:
                    stage = self.jobs[name].make(self.done)
                    entry = self.scheduler.stages.cached(stage)
                except ColvertError as error:
                    self._fail(error)
                    continue
                if entry is None:
                    self.ready[name] = stage
                else:
                    self._finish(name, entry)

    def _start(self) -> None:
        """Start the ready jobs that the machine has room for, the most urgent first."""
        if self.ending:
            return
        for name in sorted(self.ready, key=lambda name: (-self.jobs[name].priority, name)):
            job = self.jobs[name]
            if self.scheduler.capacity.fits(self.running.values(), job):
                stage = self.ready.pop(name)
                pending = frozenset(self.jobs.keys() - self.done.keys())
                self.running[self.scheduler.pool.submit(self._obtain, job, stage, pending)] = job

    def _obtain(self, job: Job, stage: Stage, pending: frozenset[str]) -> Entry:
        if job.prepare is not None:
            job.prepare(pending)
        return self.scheduler.stages.obtain(stage)

    def _collect(self) -> None:
        """Wait until at least one running job ends, and note how."""
        ended, _ = wait(self.running, return_when=FIRST_COMPLETED)
        for future in ended:
            job = self.running.pop(future)
            try:
                self._finish(job.name, future.result())
            except ColvertError as error:
                self._fail(error)
            except CancelledError:
                pass  # after the failure of another
            except Exception as error:
                self.crash = self.crash or error
                self._cancel()

    def _fail(self, error: ColvertError) -> None:
        """Note a failure, once where several jobs had it; what the pool has not begun with is not begun."""
        if not any(error is known for known in self.failures):
            self.failures.append(error)
        self._cancel()

    def _cancel(self) -> None:
        for future in self.running:
            future.cancel()

    def _finish(self, name: str, entry: Entry) -> None:
        self.done[name] = entry
        self.order.done(name)


def announce(scheduler: Scheduler, stage: str, total: int) -> None:
    """Report how many stages of a kind there are."""
    scheduler.stages.events.emit(Event(kind=Kind.PLANNED, stage=stage, total=total))


def with_paths(jobs: Iterable[Job], cost: Callable[[Job], float]) -> list[Job]:
    """The jobs with priorities: the cost of the longest way from each to the end."""
    known = {job.name: job for job in jobs}
    users: dict[str, list[str]] = {name: [] for name in known}
    for job in known.values():
        for need in job.needs:
            users[need].append(job.name)
    length: dict[str, float] = {}
    for name in reversed(list(TopologicalSorter({j.name: j.needs for j in known.values()}).static_order())):
        job = known[name]
        length[name] = cost(job) + max((length[user] for user in users[name]), default=0.0)
    return [replace(job, priority=length[name]) for name, job in known.items()]
