"""Listening sockets of a machine, read from `ss -H -lntup`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from builder.audit.findings import Found
from builder.audit.policy import Check
from builder.errors import Code, ColvertError

COMMAND = "ss -H -lntup"
PROCESS = re.compile(r'\("((?:[^"\\]|\\.)*)",pid=')
NOBODY = "the kernel"


def check_sockets(text: str) -> Iterator[Found]:
    """A finding for each listening socket and each process that holds it."""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(None, 6)
        if not words or words[0] == "Netid":
            continue
        if len(words) < 6 or words[0] not in ("tcp", "udp") or ":" not in words[4]:
            raise ColvertError(
                Code.USAGE,
                f"line {number} is not output of {COMMAND}: {line[:80]}",
                hint=f"pass the output of {COMMAND}",
            )
        address, _, port = words[4].rpartition(":")
        # brackets would be a pattern of their own in a policy
        where = f"{words[0]}/{port} {address.strip('[]').replace(']%', '%')}"
        for process in PROCESS.findall(words[6]) if len(words) > 6 else ():
            yield Found(Check.SOCKETS, process, where, f"listens on {where}")
        if len(words) <= 6:
            yield Found(Check.SOCKETS, NOBODY, where, f"listens on {where}")
