"""Execution of one stage, or its artifact from the store where the key is known."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from builder.errors import ColvertError
from builder.pipeline import stage as stages
from builder.pipeline.code import CodeDigests
from builder.pipeline.entry import Entry
from builder.pipeline.events import Event, Events, Kind
from builder.pipeline.stage import Local, Phase, Stage, Toolchain, Work
from builder.pipeline.store import Store, now


@dataclass(frozen=True)
class Executor:
    """Runs stages in a scratch directory of the store."""

    store: Store
    events: Events
    sdk: Toolchain
    local: Local
    code: CodeDigests = field(default_factory=CodeDigests)

    def key(self, stage: Stage) -> str:
        """The stage's key."""
        return stages.key(stage, code=self.code.of(*stage.modules), sdk=self.sdk.id)

    def inputs(self, stage: Stage) -> dict[str, str]:
        """The inputs of the key, by name."""
        return stages.inputs(stage, code=self.code.of(*stage.modules), sdk=self.sdk.id)

    def cached(self, stage: Stage) -> Entry | None:
        """The stage's entry, if the store has it."""
        found = self.store.find(self.key(stage))
        if found is not None:
            self.events.emit(Event(kind=Kind.CACHED, stage=stage.name, label=stage.label))
        return found

    def obtain(self, stage: Stage) -> Entry:
        """The stage's entry: taken from the store or made now."""
        found = self.cached(stage)
        if found is not None:
            return found
        key = self.key(stage)
        with self.store.building(key, self.local.cancelled):
            return self.cached(stage) or self._make(stage, key)

    @contextmanager
    def working(self, stage: Stage, phase: Phase = lambda _name: None) -> Iterator[Work]:
        """A place for a stage to run in, gone afterwards."""
        with self.store.workdir() as scratch:
            out = scratch / "out"
            out.mkdir()
            yield Work(out, scratch, self.sdk, self.store, self.local, self.key(stage), phase)

    def _make(self, stage: Stage, key: str) -> Entry:
        started = time.monotonic()

        def report(kind: Kind, **fields: str | float) -> None:
            self.events.emit(Event(kind=kind, stage=stage.name, label=stage.label, **fields))  # type: ignore[arg-type]

        report(Kind.STARTED)
        with self.working(stage, lambda name: report(Kind.PHASE, phase=name)) as work:
            try:
                stage.run(work)
                self.code.check_unchanged(*stage.modules)
            except ColvertError as error:
                report(Kind.FAILED, seconds=time.monotonic() - started, text=error.what)
                raise
            seconds = round(time.monotonic() - started, 3)
            entry = self.store.publish(work.out, self._record(stage, key, seconds))
        report(Kind.FINISHED, seconds=seconds)
        return entry

    def _record(self, stage: Stage, key: str, seconds: float) -> Mapping[str, object]:
        return {
            "key": key,
            "stage": stage.name,
            "label": stage.label,
            "inputs": self.inputs(stage),
            "uses": sorted({artifact.digest for artifact in stages.uses(stage)}),
            "seconds": seconds,
            "created": now(),
        }
