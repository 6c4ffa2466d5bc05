"""What every unit test leaves behind is let go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

import pytest


@pytest.fixture(autouse=True)
def no_leases_left() -> Iterator[None]:
    """A store's lease lives as long as its process; hundreds of them are too many for one."""
    yield
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if "/leases/" in os.readlink(f"/proc/self/fd/{name}"):
                os.close(int(name))
