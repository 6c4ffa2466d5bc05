"""The order in which jobs run: nothing waits for what it does not need, and nothing starts in vain."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.errors import Code, ColvertError
from builder.packages.builder import _Once
from builder.pipeline.artifact import Artifact
from builder.pipeline.executor import Executor
from builder.pipeline.scheduler import (
    Capacity,
    Entries,
    Job,
    Scheduler,
    Weight,
    closure,
    order,
    with_paths,
)
from builder.pipeline.stage import Stage, Work
from tests.unit.stages import damage, executor

# long enough for any machine, so that only a wrong order runs into it
SOON = 30
# long enough to see that something does not happen
NEVER = 0.3


@dataclass
class Log:
    """What jobs did, and what each is to do or wait for."""

    started: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    running: int = 0
    most: int = 0
    steps: dict[str, Callable[[], object]] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def run(self, title: str) -> None:
        with self.changed:
            self.started.append(title)
            self.running += 1
            self.most = max(self.most, self.running)
            self.changed.notify_all()
        try:
            self.steps.get(title, lambda: None)()
        finally:
            with self.changed:
                self.ended.append(title)
                self.running -= 1
                self.changed.notify_all()

    def wait_for_start(self, *titles: str) -> None:
        with self.changed:
            there = self.changed.wait_for(lambda: set(titles) <= set(self.started), SOON)
        assert there, f"{titles} did not start: {self.started}"


LOG = Log()


@pytest.fixture(autouse=True)
def log() -> Iterator[Log]:
    LOG.__init__()  # type: ignore[misc]
    yield LOG


@dataclass(frozen=True)
class Step(Stage):
    """Does what the log has for it; keyed by what it needs."""

    name: ClassVar[str] = "step"

    title: str
    needs: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return self.title

    def run(self, work: Work) -> None:
        LOG.run(self.title)
        (work.out / "file").write_text(self.title)


def job(name: str, *needs: str, **fields: object) -> Job:
    def make(done: Entries) -> Stage:
        return Step(name, tuple(done[need].digest for need in needs))

    return replace(Job(name, ("step", name), needs, make), **fields)  # type: ignore[arg-type]


def failing(code: Code = Code.COMMAND_FAILED, what: str = "no") -> Callable[[], object]:
    def step() -> None:
        raise ColvertError(code, what)

    return step


def after(other: str, step: Callable[[], object]) -> Callable[[], object]:
    """A step that begins when another job has started."""

    def both() -> None:
        LOG.wait_for_start(other)
        step()

    return both


@pytest.fixture
def stages(tmp_path: Path) -> Executor:
    return executor(tmp_path / "store")


def scheduler(stages: Executor, cores: float = 2, **options: object) -> Scheduler:
    return Scheduler(stages, Capacity(cores, 8 << 30), **options)  # type: ignore[arg-type]


def in_thread(work: Callable[[], object]) -> Callable[[], None]:
    """Start work; what comes back waits for it, and raises what it raised."""
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()

    def end() -> None:
        thread.join(SOON)
        assert not thread.is_alive()
        if failures:
            raise failures[0]

    return end


# --- order ----------------------------------------------------------------------------


def test_what_a_stored_job_makes_ready_starts_beside_what_runs(stages: Executor, log: Log) -> None:
    """A is in the store, K is built for a long time: B, which needs A alone, does not wait for K."""
    stages.obtain(Step("A"))
    log.started.clear()
    gate = threading.Event()
    log.steps["K"] = lambda: gate.wait(SOON)
    jobs = [job("A"), job("K"), job("B", "A"), job("C", "B"), job("D", "K", "C")]
    end = in_thread(lambda: scheduler(stages).run(jobs))
    try:
        log.wait_for_start("B", "C", "K")
        assert "K" not in log.ended and "D" not in log.started
    finally:
        gate.set()
    end()
    assert "A" not in log.started
    assert log.ended[-2:] == ["K", "D"]


def test_a_whole_chain_from_the_store_holds_nothing_up(stages: Executor, log: Log) -> None:
    chain = [job("1"), *(job(str(number), str(number - 1)) for number in range(2, 20))]
    scheduler(stages).run(chain)
    log.started.clear()
    gate = threading.Event()
    log.steps["K"] = lambda: gate.wait(SOON)
    end = in_thread(lambda: scheduler(stages, 1).run([job("K"), *chain, job("last", "19")]))
    log.wait_for_start("K", "last")
    gate.set()
    end()
    assert sorted(log.started) == ["K", "last"]


def test_every_job_runs_once_and_after_what_it_needs(stages: Executor, log: Log) -> None:
    jobs = [job("d", "b", "c"), job("b", "a"), job("c", "a"), job("a")]
    entries = scheduler(stages).run(jobs)
    assert sorted(log.started) == ["a", "b", "c", "d"]
    assert (log.started[0], log.started[-1]) == ("a", "d")
    assert {name: (entry.out / "file").read_text() for name, entry in entries.items()} == {
        name: name for name in "abcd"
    }


@settings(max_examples=25)
@given(st.lists(st.sets(st.integers(0, 9), max_size=3), min_size=1, max_size=10), st.data())
def test_any_graph_runs_in_order(
    tmp_path_factory: pytest.TempPathFactory, needs: list[set[int]], draw: st.DataObject
) -> None:
    LOG.__init__()  # type: ignore[misc]
    graph = {str(n): [str(m) for m in sorted(below) if m < n] for n, below in enumerate(needs)}
    jobs = [job(name, *before) for name, before in graph.items()]
    run = executor(tmp_path_factory.mktemp("x") / "store")
    found = scheduler(run, draw.draw(st.sampled_from([0.5, 1, 4]))).run(draw.draw(st.permutations(jobs)))
    assert found.keys() == graph.keys()
    assert sorted(LOG.started) == sorted(graph)
    for name, before in graph.items():
        assert all(LOG.ended.index(one) < LOG.ended.index(name) for one in before)


def test_the_most_urgent_starts_first(stages: Executor, log: Log) -> None:
    whole = Weight(cores=2)
    ranks = {"low": 1.0, "high": 3.0, "middle": 2.0, "also high": 3.0}
    scheduler(stages).run(job(name, weight=whole, priority=rank) for name, rank in ranks.items())
    assert log.started == ["also high", "high", "middle", "low"]


def test_the_longest_way_to_the_end_is_the_most_urgent() -> None:
    jobs = [job("kernel"), job("lib"), job("tool", "lib"), job("image", "kernel", "tool")]
    costs = {"kernel": 10.0, "lib": 4.0, "tool": 5.0, "image": 1.0}
    found = {one.name: one.priority for one in with_paths(jobs, lambda one: costs[one.name])}
    assert found == {"kernel": 11, "lib": 10, "tool": 6, "image": 1}


def test_only_what_is_wanted_and_needed_runs() -> None:
    jobs = [job("a"), job("b", "a"), job("c", "b"), job("d")]
    assert [one.name for one in closure(jobs, ["b"])] == ["a", "b"]
    assert [one.name for one in closure(jobs, [])] == []


def test_a_circle_is_named(stages: Executor, log: Log) -> None:
    jobs = [job("a"), job("x", "a", "z"), job("y", "x"), job("z", "y")]
    with pytest.raises(ColvertError) as caught:
        scheduler(stages).run(jobs)
    assert caught.value.code is Code.UNRESOLVABLE
    names = caught.value.what.rpartition(": ")[2].split(" -> ")
    assert names[0] == names[-1] and set(names) == {"x", "y", "z"}
    needs = {one.name: one.needs for one in jobs}
    assert all(before in needs[after] or after in needs[before] for before, after in pairwise(names))
    assert log.started == []
    with pytest.raises(ColvertError):
        order([job("self", "self")])


# --- room -----------------------------------------------------------------------------


def test_a_job_heavier_than_the_machine_runs_alone(stages: Executor, log: Log) -> None:
    log.steps = dict.fromkeys(["heavy", "huge", "a", "b"], lambda: time.sleep(0.02))
    jobs = [
        job("heavy", weight=Weight(cores=64), priority=1),
        job("huge", weight=Weight(memory=1 << 50), priority=2),
        job("a"),
        job("b"),
    ]
    scheduler(stages, 1).run(jobs)
    assert sorted(log.started) == ["a", "b", "heavy", "huge"]
    assert log.started[:2] == ["huge", "heavy"]
    assert log.ended[:2] == ["huge", "heavy"]


@pytest.mark.parametrize(
    ("weight", "most"),
    [(Weight(cores=1), 2), (Weight(cores=2 / 3), 3), (Weight(cores=0.1, memory=3 << 30), 2)],
)
def test_no_more_run_at_once_than_the_machine_has_room_for(
    stages: Executor, log: Log, weight: Weight, most: int
) -> None:
    names = [str(number) for number in range(8)]
    gate = threading.Barrier(most)
    log.steps = dict.fromkeys(names[:most], lambda: gate.wait(SOON))
    scheduler(stages).run(job(name, weight=weight, priority=-int(name)) for name in names)
    assert log.most == most


def test_a_light_job_fills_the_room_beside_a_heavy_one(stages: Executor, log: Log) -> None:
    gate = threading.Event()
    log.steps["heavy"] = lambda: gate.wait(SOON)
    jobs = [
        job("heavy", weight=Weight(cores=1.5), priority=3),
        job("next", weight=Weight(cores=1), priority=2),
        job("light"),
    ]
    end = in_thread(lambda: scheduler(stages).run(jobs))
    log.wait_for_start("light")
    assert "next" not in log.started
    gate.set()
    end()


# --- failures -------------------------------------------------------------------------


def test_after_a_failure_no_further_job_starts(stages: Executor, log: Log) -> None:
    """What runs comes to its end, and its work is kept."""
    gate = threading.Event()
    log.steps["long"] = lambda: gate.wait(SOON)
    log.steps["bad"] = after("long", failing(what="bad failed"))
    jobs = [job("long"), job("bad"), job("b", "long"), *(job(f"other {n}", "bad") for n in range(3))]
    jobs += [job(f"free {number}", weight=Weight(cores=1)) for number in range(5)]
    # one core for what is to fail and what runs beside it: the free ones are left for later
    interrupted: list[bool] = []
    run = scheduler(stages, 1, on_interrupt=lambda: interrupted.append(True))
    end = in_thread(lambda: run.run(jobs))
    log.wait_for_start("bad")
    time.sleep(NEVER)
    gate.set()
    with pytest.raises(ColvertError) as caught:
        end()
    assert caught.value.what == "bad failed"
    assert sorted(log.started) == ["bad", "long"]
    assert [entry.record.label for entry in stages.store.entries()] == ["long"]
    assert interrupted == []


def test_what_the_pool_has_not_begun_does_not_begin_after_a_failure(stages: Executor, log: Log) -> None:
    """A pool may be smaller than the machine, or far away."""
    log.steps["bad"] = failing()
    jobs = [job("bad", priority=1), *(job(str(number)) for number in range(5))]
    with ThreadPoolExecutor(1) as pool, pytest.raises(ColvertError) as caught:
        scheduler(stages, 8, pool=pool).run(jobs)
    assert caught.value.code is Code.COMMAND_FAILED
    # the thread may have taken the next one before the failure was seen
    assert len(log.started) <= 2


def test_all_failures_are_raised_together(stages: Executor, log: Log) -> None:
    both = threading.Barrier(2)
    for name in ("x", "y"):
        log.steps[name] = lambda name=name: (both.wait(SOON), failing(what=f"{name} failed")())  # type: ignore[misc]
    with pytest.raises(ColvertError) as caught:
        scheduler(stages).run([job("x"), job("y")])
    found = {caught.value.what, *(other.what for other in caught.value.others)}
    assert found == {"x failed", "y failed"}


def test_a_stage_that_cannot_be_made_is_a_failure_like_any_other(stages: Executor, log: Log) -> None:
    """Its inputs may be damaged; what runs is not stopped for that."""
    gate, interrupted = threading.Event(), list[bool]()
    log.steps["long"] = lambda: gate.wait(SOON)

    def make(_done: Entries) -> Stage:
        gate.set()
        raise ColvertError(Code.STORE_CORRUPT, "damaged")

    bad = replace(job("bad", "first"), make=make)
    run = scheduler(stages, on_interrupt=lambda: interrupted.append(True))
    log.steps["first"] = lambda: log.wait_for_start("long")
    with pytest.raises(ColvertError) as caught:
        run.run([job("first"), job("long"), bad, job("after", "bad")])
    assert caught.value.code is Code.STORE_CORRUPT
    assert interrupted == []
    assert {entry.record.label for entry in stages.store.entries()} == {"first", "long"}


@pytest.mark.parametrize("error", [ZeroDivisionError("ours"), OSError(28, "No space left on device")])
def test_after_an_error_that_no_job_should_raise_what_runs_is_kept(
    stages: Executor, log: Log, error: Exception
) -> None:
    gate, interrupted = threading.Event(), list[bool]()

    def broken() -> None:
        log.wait_for_start("long")
        raise error

    log.steps |= {"long": lambda: gate.wait(SOON), "broken": broken}
    jobs = [job("long"), job("broken"), job("b", "long"), job("free", weight=Weight(cores=1))]
    run = scheduler(stages, 1, on_interrupt=lambda: interrupted.append(True))
    end = in_thread(lambda: run.run(jobs))
    log.wait_for_start("broken")
    time.sleep(NEVER)
    gate.set()
    with pytest.raises(type(error)):
        end()
    assert sorted(log.started) == ["broken", "long"]
    assert interrupted == []
    assert [entry.record.label for entry in stages.store.entries()] == ["long"]


# --- Ctrl-C ---------------------------------------------------------------------------


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT as a terminal's program has it; a shell starts what runs in the background with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_stops_what_runs_and_waits_for_it(stages: Executor, log: Log) -> None:
    stopped = threading.Event()

    def interrupted() -> None:
        time.sleep(NEVER)  # the main thread waits for us by then
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped.wait(SOON)
        time.sleep(NEVER)

    log.steps["long"] = interrupted
    run = scheduler(stages, 1, on_interrupt=stopped.set)
    with pytest.raises(KeyboardInterrupt):
        run.run([job("long", weight=Weight(cores=1)), job("next", weight=Weight(cores=1))])
    assert log.ended == ["long"], "it was waited for, and nothing else was begun"
    assert list((stages.store.root / "tmp").iterdir()) == []
    # the next run goes on from there
    log.steps.clear()
    run.run([job("long"), job("next")])
    assert log.started == ["long", "next"]


# --- fetching before -----------------------------------------------------------------


def test_what_is_stored_needs_no_preparation(stages: Executor, log: Log) -> None:
    calls: list[tuple[str, frozenset[str]]] = []

    def preparing(name: str, *needs: str) -> Job:
        return job(name, *needs, prepare=lambda pending: calls.append((name, frozenset(pending))))

    stages.obtain(Step("a"))
    scheduler(stages, 0.5).run([preparing("a"), preparing("b", "a"), preparing("c", "b")])
    assert calls == [("b", frozenset("bc")), ("c", frozenset("c"))]


def test_a_preparation_that_fails_starts_nothing(stages: Executor, log: Log) -> None:
    def gone(_names: object) -> None:
        raise ColvertError(Code.FETCH_FAILED, "gone")

    with pytest.raises(ColvertError) as caught:
        scheduler(stages, 0.5).run([job("a", prepare=gone), job("b")])
    assert caught.value.code is Code.FETCH_FAILED
    assert log.started == []


def test_sources_are_fetched_once_and_their_failure_is_told_once(stages: Executor, log: Log) -> None:
    calls: list[frozenset[str]] = []

    def gone(names: Set[str]) -> None:
        calls.append(frozenset(names))
        time.sleep(NEVER)
        raise ColvertError(Code.FETCH_FAILED, "gone")

    fetch = _Once(gone)
    with pytest.raises(ColvertError) as caught:
        scheduler(stages).run(job(name, prepare=fetch) for name in "abc")
    assert (caught.value.code, caught.value.others) == (Code.FETCH_FAILED, ())
    assert calls == [frozenset("abc")]
    # a run later tries again, and then not again
    working = _Once(lambda names: calls.append(frozenset(names)))
    scheduler(stages).run(job(name, prepare=working) for name in "abc")
    assert calls[1:] == [frozenset("abc")]
    assert sorted(log.started) == ["a", "b", "c"]


def test_a_damaged_entry_is_found_by_the_job_that_reads_it(tmp_path: Path) -> None:
    """And made again by the next run of the same jobs."""
    first = executor(tmp_path / "store")
    jobs = [job("a"), Job("read", ("x", "x"), ("a",), lambda done: Reading("read", done["a"].artifact))]
    damage(scheduler(first).run(jobs)["read"])
    stages = executor(tmp_path / "store")
    more = [*jobs, Job("again", ("x", "x"), ("read",), lambda done: Reading("again", done["read"].artifact))]
    with pytest.raises(ColvertError) as caught:
        scheduler(stages).run(more)
    assert caught.value.code is Code.STORE_CORRUPT
    assert (scheduler(stages).run(more)["again"].out / "file").read_text() == "a"


@dataclass(frozen=True)
class Reading(Stage):
    """Copies the text of another."""

    name: ClassVar[str] = "reading"

    title: str
    artifact: Artifact

    @property
    def label(self) -> str:
        return self.title

    def run(self, work: Work) -> None:
        (work.out / "file").write_text((work.path(self.artifact) / "file").read_text())
