"""Benchmarks: what the measurements share: running Colvert from outside, its cost, and one table."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
MIB = 1 << 20
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
# compiled modules are kept, as for every user; not in the checkout, which is measured
_CACHE = str(Path(tempfile.gettempdir()) / "colvert-bench-pycache")


@dataclass(frozen=True)
class Cost:
    """What a command took: seconds of wall and processor (with all its children), and its largest process."""

    wall: float
    cpu: float
    peak: int


@dataclass(frozen=True)
class Row:
    """One line of the table; `ratio` is measured / bar, at most 1 where the bar is met."""

    what: str
    measured: str
    bar: str = ""
    ratio: float | None = None


def colvert(*words: str | Path) -> list[str]:
    """The command line of `colvert` in this interpreter, whatever is installed."""
    return [sys.executable, "-c", "from builder.cli.main import main; main()", *map(str, words)]


def cost(
    argv: Sequence[str],
    *,
    stdout: Path | None = None,
    cwd: Path = PROJECT,
    env: Mapping[str, str] | None = None,
) -> Cost:
    """Run a command to its end and return what it took; ends the benchmark where it fails."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONPYCACHEPREFIX": _CACHE, **(env or {})}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    become_subreaper()
    with open(stdout or os.devnull, "wb") as sink:
        started = time.monotonic()
        process = subprocess.Popen(argv, stdout=sink, cwd=cwd, env=environment)
        wall, cpu, peak = 0.0, 0.0, 0
        for pid, status, usage in _reaped():
            cpu += usage.ru_utime + usage.ru_stime
            peak = max(peak, usage.ru_maxrss * 1024)
            if pid == process.pid:
                wall = time.monotonic() - started
                process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = f"; see {stdout}" if stdout else ""
        raise SystemExit(f"{' '.join(argv[3:6])}... failed with {process.returncode}{said}")
    return Cost(wall, cpu, peak)


def _reaped() -> Iterator[tuple[int, int, resource.struct_rusage]]:
    """Wait for every child, also those whose own parent did not wait for them.

    bubblewrap ends when its program has, before the namespace's first process, which knows what
    was spent inside. As the subreaper (prctl(2)) we inherit that one, and its account.
    """
    while True:
        try:
            yield os.wait4(-1, 0)
        except ChildProcessError:
            return


def become_subreaper() -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def events(log: Path) -> list[dict[str, object]]:
    """The events that a build with --json wrote to `log`."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def stages_run(log: Path) -> list[tuple[str, str, float]]:
    """The stages that ran and did not come from the store: (stage, label, seconds)."""
    return [
        (str(event["stage"]), str(event["label"]), float(str(event["seconds"])))
        for event in events(log)
        if event["kind"] == "finished"
    ]


def against(what: str, values: Sequence[float], bar: float, unit: str = "s", digits: int = 2) -> Row:
    """A row for the median of several measurements and the bar that it is held to."""
    middle = statistics.median(values)
    spread = f" (of {len(values)}: {min(values):.{digits}f} to {max(values):.{digits}f})"
    measured = f"{middle:.{digits}f} {unit}{spread if len(values) > 1 else ''}"
    return Row(what, measured, f"{bar:g} {unit}", middle / bar)


def surroundings() -> str:
    """The machine and how busy it was: a time without them says nothing."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    load = os.getloadavg()[0]
    day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return f"{os.cpu_count()} x {model}, {memory:.0f} GiB, load {load:.1f}, {day}"


def show(rows: Iterable[Row]) -> None:
    """Print the one table of a benchmark, as Markdown."""
    print(f"\n{surroundings()}\n")
    print("| what | measured | bar | measured / bar |\n| --- | --- | --- | --- |")
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        print(f"| {row.what} | {row.measured} | {row.bar} | {ratio} |")
