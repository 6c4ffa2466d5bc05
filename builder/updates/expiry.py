"""End of an update index: when it is, and whether it has passed by now."""

from __future__ import annotations

from datetime import UTC, datetime

DAY = 86400


def expiry(epoch: int, days: int) -> int:
    """When an index expires that is made for a commit's time."""
    return epoch + days * DAY


def is_past(expires: int) -> bool:
    return expires < datetime.now(UTC).timestamp()


def date(expires: int) -> str:
    """The day, also for a time that no calendar has."""
    return f"{datetime.fromtimestamp(min(expires, 1 << 37), UTC):%Y-%m-%d}"
