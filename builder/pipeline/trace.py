"""Chrome trace of a build's events, for chrome://tracing or Perfetto.

Format: "Trace Event Format", complete events (`"ph": "X"`), times in microseconds.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from builder.pipeline.events import Event, Kind


class Trace:
    """Collects events; `write` makes the file whole in one rename."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], tuple[float, int]] = {}
        self._phase: dict[tuple[str, str], tuple[float, str]] = {}
        self._lanes: list[bool] = []
        self._rows: list[dict[str, object]] = []

    def __call__(self, event: Event) -> None:
        name = (event.stage, event.label)
        if event.kind is Kind.STARTED:
            self._open[name] = (event.time, self._lane())
        elif event.kind is Kind.PHASE and name in self._open:
            self._end_phase(name, event.time)
            self._phase[name] = (event.time, event.phase)
        elif event.kind in (Kind.FINISHED, Kind.FAILED) and name in self._open:
            self._end_phase(name, event.time)
            began, lane = self._open.pop(name)
            self._add(f"{event.stage} {event.label}", event.stage, began, event.time, lane)
            self._lanes[lane] = False
        elif event.kind is Kind.CACHED:
            self._rows.append(
                {
                    "name": f"in store: {event.label}",
                    "ph": "i",
                    "s": "g",
                    "ts": int(event.time * 1e6),
                    "pid": 1,
                    "tid": 0,
                }
            )

    def _lane(self) -> int:
        """The lowest row of the picture that is free."""
        for number, busy in enumerate(self._lanes):
            if not busy:
                self._lanes[number] = True
                return number
        self._lanes.append(True)
        return len(self._lanes) - 1

    def _end_phase(self, name: tuple[str, str], now: float) -> None:
        if name in self._phase:
            began, phase = self._phase.pop(name)
            self._add(phase, "phase", began, now, self._open[name][1])

    def _add(self, name: str, category: str, began: float, ended: float, lane: int) -> None:
        duration = max(int((ended - began) * 1e6), 1)
        row = {
            "name": name,
            "cat": category,
            "ph": "X",
            "ts": int(began * 1e6),
            "dur": duration,
            "pid": 1,
            "tid": lane,
        }
        self._rows.append(row)

    def write(self, path: Path) -> None:
        part = path.with_name(f".{path.name}.{os.getpid()}")
        part.write_text(json.dumps({"traceEvents": self._rows, "displayTimeUnit": "ms"}))
        part.replace(path)
