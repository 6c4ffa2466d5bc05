"""Tests with the platforms' own clients: a workspace with a clean home for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from builder.sandbox.run import hand_over
from tests.build.places import open_place
from tests.clients.root import Clients
from tests.clients.workspace import Desk
from tests.targets import Targets


@pytest.fixture
def desk(clients: Clients, targets: Targets) -> Iterator[Desk]:
    with open_place() as place:
        yield Desk(clients, targets.root, hand_over(place / "home"))
