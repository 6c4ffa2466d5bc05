"""Events of a running build; the schema of `--json`.

One event is one JSON object on one line. `time` is seconds since the epoch with
milliseconds; every other field is described where it stands.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Kind(StrEnum):
    """Kinds of events."""

    PLANNED = "planned"
    STARTED = "started"
    PHASE = "phase"
    FINISHED = "finished"
    CACHED = "cached"
    FAILED = "failed"
    TRANSFER = "transfer"
    MESSAGE = "message"
    WARNING = "warning"
    OUTPUT = "output"


class Event(BaseModel):
    """One thing that happened in a build."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    time: float = Field(default_factory=lambda: round(time.time(), 3))
    stage: str = Field(default="", description="name of the stage: sdk, plan, fetch, package, tree, ...")
    label: str = Field(default="", description="subject of the stage, e.g. sys-libs/zlib-1.3.1")
    phase: str = Field(default="", description="phase: the running step; planned: empty")
    seconds: float = Field(default=0.0, description="finished and failed: duration in seconds")
    total: int = Field(default=0, description="planned: number of stages; transfer: size in bytes")
    done: int = Field(default=0, description="planned: stages in the store; transfer: bytes so far")
    text: str = Field(default="", description="message, warning, failed: the text; output: a path")


Listener = Callable[[Event], None]


class Events:
    """Hands each event to every listener, one at a time, from whatever thread it comes."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = list(listeners)
        self._lock = threading.Lock()

    def add(self, listener: Listener) -> None:
        with self._lock:
            self._listeners.append(listener)

    def emit(self, event: Event) -> None:
        with self._lock:
            for listener in self._listeners:
                listener(event)

    def message(self, text: str) -> None:
        self.emit(Event(kind=Kind.MESSAGE, text=text))

    def warning(self, text: str) -> None:
        self.emit(Event(kind=Kind.WARNING, text=text))
