"""Progress: what a terminal, a log and a machine see of the same events."""

from __future__ import annotations

import io
import json
from pathlib import Path

from rich.console import Console

from builder.pipeline.events import Event, Kind
from builder.pipeline.progress import JsonLines, PlainLines, Terminal
from builder.pipeline.trace import Trace

EVENTS = [
    Event(kind=Kind.PLANNED, stage="package", total=3, time=10.0),
    Event(kind=Kind.CACHED, stage="package", label="a/x-1", time=10.0),
    Event(kind=Kind.STARTED, stage="package", label="a/y-1", time=11.0),
    Event(kind=Kind.PHASE, stage="package", label="a/y-1", phase="compiling", time=12.0),
    Event(kind=Kind.STARTED, stage="package", label="a/z-1", time=12.0),
    Event(kind=Kind.TRANSFER, stage="fetch", label="z.tar", done=1 << 20, total=2 << 20, time=12.5),
    Event(kind=Kind.FINISHED, stage="package", label="a/y-1", seconds=3.0, time=14.0),
    Event(kind=Kind.FAILED, stage="package", label="a/z-1", seconds=4.0, time=16.0, text="no"),
    Event(kind=Kind.OUTPUT, text="out/1/disk.qcow2", time=17.0),
]


def test_json_lines_can_be_read_back() -> None:
    stream = io.StringIO()
    view = JsonLines(stream)
    for event in EVENTS:
        view(event)
    assert [Event.model_validate_json(line) for line in stream.getvalue().splitlines()] == EVENTS


def test_plain_lines_tell_beginnings_and_ends() -> None:
    stream = io.StringIO()
    view = PlainLines(stream)
    for event in EVENTS:
        view(event)
    text = stream.getvalue()
    assert "package a/y-1: started" in text
    assert "package a/z-1: failed after 4.0 s" in text
    assert text.endswith("out/1/disk.qcow2\n")


def test_quiet_tells_only_outputs_and_warnings() -> None:
    stream = io.StringIO()
    view = PlainLines(stream, quiet=True)
    for event in EVENTS:
        view(event)
    assert stream.getvalue() == "out/1/disk.qcow2\n"


def test_the_terminal_shows_what_runs_and_what_is_left() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    view = Terminal(console)
    try:
        for event in EVENTS[:6]:
            view(event)
        with console.capture() as captured:
            console.print(view.view())
    finally:
        view.close()
    text = captured.get()
    assert "a/y-1" in text
    assert "compiling" in text
    assert "1 from the store, 0 built, 2 left" in text


def test_a_trace_has_one_bar_for_each_package_and_phase(tmp_path: Path) -> None:
    trace = Trace()
    for event in EVENTS:
        trace(event)
    trace.write(tmp_path / "trace.json")
    rows = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    bars = {row["name"]: row for row in rows if row["ph"] == "X"}
    assert bars["package a/y-1"]["dur"] == 3_000_000
    assert bars["compiling"]["dur"] == 2_000_000
    assert bars["package a/y-1"]["tid"] != bars["package a/z-1"]["tid"]
