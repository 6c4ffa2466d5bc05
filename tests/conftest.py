"""What all tests have in common: their tiers, and the order in which they run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parent.parent
# The files with the most boots: of two workers neither is left with a long one in the end.
BOOTS = ("provision", "fallback", "update", "power_cut", "platforms", "boot")
# how long an example takes says more of what else the machine does
settings.register_profile("colvert", deadline=None)
settings.load_profile("colvert")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run the tests marked `long` too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test's directory is its tier; the cheap tiers run first, the long tests only if asked for."""
    if not config.getoption("--all"):
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("long")]
    # the platforms' clients need the SDK's images and take minutes, as what is built does
    tiers = {"unit": "unit", "build": "build", "clients": "build", "boot": "boot"}

    def folder(item: pytest.Item) -> str:
        return item.path.relative_to(ROOT / "tests").parts[0]

    for item in items:
        tier = tiers.get(folder(item), "")
        # a client that boots something says so itself
        if tier in ("build", "boot") and not item.get_closest_marker("boot"):
            item.add_marker(tier)
    items.sort(key=lambda item: (_place(list(tiers), folder(item)), _place(BOOTS, item.path.stem[5:])))


def _place(order: Sequence[str], name: str) -> int:
    return order.index(name) if name in order else len(order)
