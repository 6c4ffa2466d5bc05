"""The end of an update index against the clock."""

from __future__ import annotations

import time

from builder.updates.expiry import DAY, date, expiry, is_past


def test_an_index_is_past_when_its_days_are_over() -> None:
    now = int(time.time())
    assert is_past(expiry(now - 181 * DAY, 180))
    assert is_past(expiry(0, 180))
    assert not is_past(expiry(now - 179 * DAY, 180))


def test_an_end_that_no_calendar_has_can_be_shown() -> None:
    assert date(expiry(0, 1)) == "1970-01-02"
    assert date(1 << 60)
