"""Progress of a build on a terminal, as plain lines, or as JSON lines."""

from __future__ import annotations

import sys
import time
from typing import IO, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from builder.pipeline.events import Event, Kind


class Renderer(Protocol):
    """Something that takes events until it is closed."""

    def __call__(self, event: Event) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """One event, one JSON object, one line."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def __call__(self, event: Event) -> None:
        self.stream.write(event.model_dump_json(exclude_defaults=False) + "\n")
        self.stream.flush()

    def close(self) -> None:
        pass


def sentence(event: Event) -> str | None:
    """The log line of an event, or None for an event that is not logged."""
    subject = f"{event.stage} {event.label}".strip()
    match event.kind:
        case Kind.STARTED:
            return f"{subject}: started"
        case Kind.FINISHED:
            return f"{subject}: done in {event.seconds:.1f} s"
        case Kind.FAILED:
            return f"{subject}: failed after {event.seconds:.1f} s"
        case Kind.PLANNED:
            return f"{event.total} packages"
        case Kind.MESSAGE | Kind.OUTPUT:
            return event.text
        case Kind.WARNING:
            return f"warning: {event.text}"
        case _:
            return None


class PlainLines:
    """A line for each thing that begins or ends; for pipes and logs."""

    def __init__(self, stream: IO[str], *, quiet: bool = False) -> None:
        self.stream = stream
        self.quiet = quiet
        self.began = time.monotonic()

    def __call__(self, event: Event) -> None:
        text = sentence(event)
        if text is None or (self.quiet and event.kind not in (Kind.OUTPUT, Kind.WARNING)):
            return
        if event.kind is Kind.OUTPUT:
            self.stream.write(f"{text}\n")
        else:
            self.stream.write(f"[{time.monotonic() - self.began:7.1f}] {text}\n")
        self.stream.flush()

    def close(self) -> None:
        pass


class Terminal:
    """A live view: what runs in which phase and for how long, what came from the store, what remains."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.began = time.monotonic()
        self.running: dict[tuple[str, str], tuple[float, str]] = {}
        self.transfers: dict[str, tuple[int, int]] = {}
        self.total = self.made = self.cached = 0
        self.live = Live(get_renderable=self.view, console=console, refresh_per_second=4, transient=True)
        self.live.start()

    def __call__(self, event: Event) -> None:
        name = (event.stage, event.label)
        match event.kind:
            case Kind.PLANNED:
                self.total += event.total
            case Kind.STARTED:
                self.running[name] = (time.monotonic(), "")
            case Kind.PHASE:
                since = self.running.get(name, (time.monotonic(), ""))[0]
                self.running[name] = (since, event.phase)
            case Kind.TRANSFER:
                self.transfers[event.label] = (event.done, event.total)
                if event.done >= event.total:
                    self.transfers.pop(event.label)
            case Kind.CACHED:
                self.cached += event.stage == "package"
            case Kind.FINISHED:
                self.running.pop(name, None)
                self.made += event.stage == "package"
            case Kind.FAILED:
                self.running.pop(name, None)
        text = None if event.kind is Kind.STARTED else sentence(event)
        if text is not None:
            style = {Kind.FAILED: "red", Kind.WARNING: "yellow", Kind.FINISHED: "green"}.get(event.kind, "")
            self.console.print(Text(text, style=style))

    def view(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        now = time.monotonic()
        for (stage, label), (since, phase) in sorted(self.running.items(), key=lambda row: row[1][0]):
            table.add_row(Text(stage, "cyan"), label, Text(phase, "dim"), f"{now - since:5.0f} s")
        for label, (done, total) in list(self.transfers.items()):
            table.add_row(
                Text("fetch", "cyan"), label, ProgressBar(total, done, width=20), f"{done >> 20} MiB"
            )
        finished = self.made + self.cached
        left = max(self.total - finished, 0)
        clock = time.strftime("%H:%M:%S", time.gmtime(now - self.began))
        foot = Text(f"{clock}  {self.cached} from the store, {self.made} built, {left} left", "bold")
        return Group(table, foot)

    def close(self) -> None:
        self.live.stop()


def renderer(*, json: bool, quiet: bool, stream: IO[str] | None = None) -> Renderer:
    """The renderer that fits: JSON if asked for, live on a terminal, plain lines elsewhere."""
    if json:
        return JsonLines(stream or sys.stdout)
    console = Console(file=stream or sys.stderr, highlight=False)
    if console.is_terminal and not quiet:
        return Terminal(console)
    return PlainLines(stream or sys.stderr, quiet=quiet)
