"""Guests stalled under emulation: detected, reported and resumed.

QEMU 10.0 without KVM once left a kernel waiting for its first read of the disk, silent for the 14
minutes that the test waited; why is not known. Stopping all processors makes QEMU finish every
request that is under way, and continuing them makes it look at every interrupt again. Whether that
would have helped is not proved; a guest that merely takes its time does not notice.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from builder.machine.console import Console
from builder.machine.qmp import Qmp

SILENT_SECONDS = 90.0
# of the monitor: where the processors are, and what the disks have done
_ASK = ("info status", "info registers -a", "info blockstats")
_TELLING = ("CPU#", "RIP=", "VM status", "disk")


@dataclass
class Silence:
    """Watches how long the console has been silent while something is waited for."""

    console: Console
    qmp: Qmp
    limit: float = SILENT_SECONDS
    # what QEMU said each time, before the guest was nudged
    nudges: list[list[str]] = field(default_factory=list)
    _size: int = -1
    _since: float = 0.0

    def look(self) -> None:
        """Check the console; called repeatedly while waiting."""
        now, size = time.monotonic(), self.console.position()
        if size != self._size:
            self._size, self._since = size, now
        elif now - self._since >= self.limit:
            self._since = now
            self.nudges.append(self._state())
            for command in ("stop", "cont"):
                self.qmp.execute(command)

    def _state(self) -> list[str]:
        lines = [line for ask in _ASK for line in self.qmp.monitor(ask).splitlines()]
        return [line.strip() for line in lines if line.startswith(_TELLING)]
