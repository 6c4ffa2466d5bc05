"""Tests with the platforms' own clients: a desk with a clean home for each test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.sandbox.run import hand_over
from tests.clients.desk import Desk
from tests.clients.root import Clients
from tests.conftest import Targets


@pytest.fixture
def desk(clients: Clients, targets: Targets) -> Iterator[Desk]:
    # pytest's own directories are closed to the id that sandboxed programs run as
    place = Path(tempfile.mkdtemp(prefix="colvert-clients-", dir="/var/tmp"))
    place.chmod(0o755)
    yield Desk(clients, targets.root, hand_over(place / "home"))
    shutil.rmtree(place)
