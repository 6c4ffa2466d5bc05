"""Machine: reads what the guest writes to its serial console, and finds what went wrong there.

The log is raw bytes from firmware, boot loader, kernel and userspace: terminal escapes, half
characters and all. `plain` makes lines of it; `problems` is the one place that knows what
trouble looks like on a console, so that every boot is held to the same list.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from builder.errors import Code, ColvertError

POLL_SECONDS = 0.2
TAIL_LINES = 40

# ECMA-48: control strings (OSC, DCS, SOS, PM, APC), then CSI sequences, then everything else
# that starts with ESC. A string without its end stops at the line's end: half a log is
# still a log.
_ESCAPE = re.compile(
    rb"\x1b[\]PX^_][^\x07\x1b\r\n]*(?:\x07|\x1b\\)?"
    rb"|\x1b\[[0-?]*[ -/]*[@-~]?"
    rb"|\x1b[ -/]*[0-~]?"
)
_NEWLINE = re.compile(r"\r*\n|\r+")
# C0 controls but tab and newline, DEL, and C1
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")

# What no boot may show, by the name under which a test may allow it.
PROBLEMS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("kernel-panic", r"Kernel panic|not syncing:"),
        ("kernel-bug", r"\bBUG: |kernel BUG at|\bUBSAN:|\bKASAN:"),
        ("kernel-oops", r"\bOops\b|general protection fault|unable to handle (kernel|page fault)"),
        ("kernel-trace", r"Call Trace:|WARNING: (CPU: \d+|.* at .*:\d+)|------------\[ cut here \]"),
        (
            "kernel-stall",
            r"detected stalls|self-detected stall|blocked for more than \d+ seconds|soft lockup",
        ),
        ("out-of-memory", r"Out of memory: Killed|oom-kill:|invoked oom-killer"),
        (
            "crash",
            r"\bsegfault at\b|trap invalid opcode|traps: \S+\[\d+\]|dumped core|stack smashing detected",
        ),
        ("verity", r"device-mapper: verity: |verity device detected corruption|dm-verity device corrupted"),
        (
            "file-system",
            r"EXT4-fs (error|warning)|erofs.*(error|corrupt)|FAT-fs.*(error|corrupt)|fsck.*failed",
        ),
        ("disk", r"I/O error|Buffer I/O|critical (medium|target) error"),
        (
            "unit-failed",
            r"\[ *FAILED *\]|Failed to start |Failed with result|Failed to mount |Failed to listen on ",
        ),
        ("unit-dependency", r"\[ *DEPEND *\]|Dependency failed for "),
        ("unit-timeout", r"\[ *TIME *\]|Timed out waiting for |start operation timed out|Job \S+ timed out"),
        ("unit-cycle", r"[Oo]rdering cycle|deleted to break ordering cycle"),
        ("unit-syntax", r"Unknown (key|section|lvalue) .*ignoring|bad-setting|Failed to parse .*ignoring"),
        (
            "emergency",
            r"emergency mode|rescue mode|Press Enter for maintenance|sulogin|Control-D to continue",
        ),
        (
            "manager",
            r"Freezing execution|systemd\[1\]: Assertion |Caught <|Failed to (allocate manager|create control)",
        ),
        ("foreign-initrd", r"\bdracut|\(initramfs\)|initramfs-tools"),
        ("firmware", r"Access Denied|Security Violation|BdsDxe: failed to|Error loading |Bad kernel image"),
    )
)


@dataclass(frozen=True)
class Problem:
    """A line of the console that tells of trouble, and the name of that kind of trouble."""

    kind: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"console line {self.line}: {self.text.strip()} [{self.kind}]"


def plain(raw: bytes) -> str:
    """Console bytes as text: no escapes, no control characters, lines end with a newline."""
    text = _ESCAPE.sub(b"", raw).replace(b"\x1b", b"").decode("utf-8", "replace")
    return _CONTROL.sub("", _NEWLINE.sub("\n", text))


def problems(text: str, allow: Iterable[str] = ()) -> tuple[Problem, ...]:
    """Every line of `text` that tells of trouble.

    `allow` holds names of whole kinds (`verity`) or regular expressions that excuse a line;
    a test that provokes trouble says with it which.
    """
    allowed = tuple(allow)
    kinds = {name for name, _ in PROBLEMS}
    excuses = [re.compile(item) for item in allowed if item not in kinds]
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        kind = next(
            (name for name, pattern in PROBLEMS if name not in allowed and pattern.search(line)), None
        )
        if kind is not None and not any(excuse.search(line) for excuse in excuses):
            found.append(Problem(kind, number, line))
    return tuple(found)


class Console:
    """The serial console's log, which QEMU writes while it is read here."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._raw = b""

    def raw(self) -> bytes:
        """All bytes so far; reads only what came since the last call."""
        try:
            with self.log.open("rb") as stream:
                stream.seek(len(self._raw))
                self._raw += stream.read()
        except FileNotFoundError:
            pass  # QEMU has not opened it yet
        return self._raw

    def position(self) -> int:
        """Where the log ends now: `after` of a later `text` or `wait_for`."""
        return len(self.raw())

    def text(self, after: int = 0) -> str:
        return plain(self.raw()[after:])

    def tail(self, lines: int = TAIL_LINES) -> list[str]:
        return [line for line in self.text().split("\n") if line.strip()][-lines:]

    def problems(self, allow: Iterable[str] = (), after: int = 0) -> tuple[Problem, ...]:
        return problems(self.text(after), allow)

    def wait_for(
        self,
        pattern: str | re.Pattern[str],
        timeout: float,
        *,
        after: int = 0,
        alive: Callable[[], bool] = lambda: True,
    ) -> re.Match[str]:
        """The first match of `pattern` after a position; raises when time runs out or nobody writes any more."""
        wanted = re.compile(pattern)
        end = time.monotonic() + timeout
        seen = -1
        while True:
            running = alive()  # asked before reading, so that the last bytes are not missed
            size = self.position()
            if size != seen and (match := wanted.search(self.text(after))):
                return match
            seen = size
            if not running or time.monotonic() >= end:
                why = f"within {timeout:.0f} s" if running else "before the machine ended"
                raise ColvertError(
                    Code.BOOT_FAILED, f"the console did not show /{wanted.pattern}/ {why}", detail=self.tail()
                )
            time.sleep(POLL_SECONDS)
