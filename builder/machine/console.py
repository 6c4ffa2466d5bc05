"""Serial console of a guest: its output as lines, and the problems in it.

The log is raw bytes from firmware, boot loader, kernel and userspace: terminal escapes, half
characters and all. `plain` makes lines of it; `problems` is the one place that knows what
trouble looks like on a console, so that every boot is checked for the same list.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
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
PROBLEMS: Mapping[str, re.Pattern[str]] = {
    kind: re.compile("|".join(patterns))
    for kind, patterns in {
        "kernel-panic": (r"Kernel panic", r"not syncing:"),
        "kernel-bug": (r"\bBUG: ", r"kernel BUG at", r"\b(UB|KA|KC)SAN:"),
        "kernel-oops": (r"\bOops\b", r"general protection fault", r"[Uu]nable to handle (kernel|page fault)"),
        "kernel-trace": (r"Call Trace:", r"WARNING: CPU: \d+", r"WARNING: .* at .*:\d+", r"\[ cut here \]"),
        "kernel-stall": (
            r"detected stalls",
            r"self-detected stall",
            r"blocked for more than",
            r"soft lockup",
        ),
        "out-of-memory": (r"Out of memory: Killed", r"oom-kill:", r"invoked oom-killer"),
        "crash": (r"\bsegfault at\b", r"trap invalid opcode", r"dumped core", r"stack smashing detected"),
        # setting verity up is told too: only its complaints count
        "verity": (r"verity: (data|metadata) block", r"verity[- :].*(corrupted|mismatch|failed)"),
        "file-system": (
            r"EXT4-fs (error|warning)",
            r"(erofs|FAT-fs) \(.*([Ee]rror|corrupt)",
            r"fsck.*failed",
        ),
        "disk": (r"I/O error", r"critical (medium|target) error"),
        "unit-failed": (
            r"\[ *FAILED *\]",
            r"Failed to (start|mount|listen on|activate) ",
            r"Failed with result",
        ),
        "unit-dependency": (r"\[ *DEPEND *\]", r"Dependency failed for "),
        "unit-timeout": (r"\[ *TIME *\]", r"Timed out waiting for ", r"start operation timed out"),
        "unit-cycle": (r"[Oo]rdering cycle", r"deleted to break ordering"),
        "unit-syntax": (r"Unknown (key|section|lvalue) .*ignoring", r"Failed to parse .*ignoring"),
        "emergency": (r"emergency mode", r"rescue mode", r"for maintenance", r"Control-D to continue"),
        "manager": (
            r"Freezing execution",
            r"systemd\[1\]: Assertion ",
            r"Caught <",
            r"Failed to allocate manager",
        ),
        "foreign-initrd": (r"\bdracut", r"\(initramfs\)", r"initramfs-tools"),
        "firmware": (r"Access [Dd]enied", r"Security Violation", r"BdsDxe: failed to", r"Error loading "),
    }.items()
}


@dataclass(frozen=True)
class Problem:
    """A console line that shows an error, and the name of its kind."""

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
    """Every line of `text` that shows an error.

    `allow` holds names of whole kinds (`verity`) or regular expressions that excuse a line;
    a test that provokes trouble says with it which.
    """
    allowed = tuple(allow)
    excuses = [re.compile(item) for item in allowed if item not in PROBLEMS]
    watched = [(kind, pattern) for kind, pattern in PROBLEMS.items() if kind not in allowed]
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        kind = next((kind for kind, pattern in watched if pattern.search(line)), None)
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
        """The first match of `pattern` after a position; raises when time or the machine runs out."""
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
