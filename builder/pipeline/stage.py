"""Stages: pure functions from declared inputs to one output in the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from builder.errors import ColvertError
from builder.pipeline.events import Event, Events, Kind
from builder.pipeline.key import digest_tree, digest_value
from builder.pipeline.store import Entry, Record, Store, now, tree_size

Phase = Callable[[str], None]


@dataclass(frozen=True)
class Work:
    """What a running stage gets: a place for its output, one for scraps, and a voice."""

    out: Path
    scratch: Path
    phase: Phase


@dataclass(frozen=True)
class Stage:
    """One step that can be skipped when its key is in the store.

    `inputs` names everything that can change the output, each as a digest or a short
    value; `version` is raised when the stage's own code changes what comes out. `uses`
    are the entries it reads: they are checked against their digests before it runs.
    """

    name: str
    label: str
    version: int
    inputs: Mapping[str, str]
    run: Callable[[Work], None]
    uses: tuple[Entry, ...] = field(default=())

    @property
    def key(self) -> str:
        return digest_value({"stage": self.name, "version": self.version, "inputs": dict(self.inputs)})


@dataclass(frozen=True)
class Executor:
    """Runs stages: from the store where the key is there, else in a scratch directory."""

    store: Store
    events: Events

    def cached(self, stage: Stage) -> Entry | None:
        """The stage's output, if the store has it."""
        found = self.store.find(stage.key)
        if found is not None:
            self.events.emit(Event(kind=Kind.CACHED, stage=stage.name, label=stage.label))
        return found

    def obtain(self, stage: Stage) -> Entry:
        """The stage's output: taken from the store or made now."""
        found = self.cached(stage)
        if found is not None:
            return found
        with self.store.building(stage.key):
            return self.cached(stage) or self._make(stage)

    def _make(self, stage: Stage) -> Entry:
        for entry in stage.uses:
            self.store.check(entry)
        started = time.monotonic()

        def tell(kind: Kind, **fields: str | float) -> None:
            self.events.emit(Event(kind=kind, stage=stage.name, label=stage.label, **fields))  # type: ignore[arg-type]

        tell(Kind.STARTED)
        with self.store.workdir() as scratch:
            whole = scratch / "entry"
            (whole / "out").mkdir(parents=True)
            try:
                stage.run(Work(whole / "out", scratch, lambda name: tell(Kind.PHASE, phase=name)))
            except ColvertError as error:
                tell(Kind.FAILED, seconds=time.monotonic() - started, text=error.what)
                raise
            seconds = round(time.monotonic() - started, 3)
            record = Record(
                key=stage.key,
                stage=stage.name,
                label=stage.label,
                inputs=dict(stage.inputs),
                digest=digest_tree(whole / "out"),
                size=tree_size(whole / "out"),
                seconds=seconds,
                created=now(),
            )
            entry = self.store.publish(whole, record)
        tell(Kind.FINISHED, seconds=seconds)
        return entry
