"""Boot tests: the image they boot, and the machines that several tests share.

A boot under TCG takes a minute, so tests that only look share one machine of their module.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.machine.files import Host
from tests.build.places import open_place


@pytest.fixture(scope="session")
def sdk_root(request: pytest.FixtureRequest) -> Path:
    """The SDK's root: COLVERT_SDK, else what the fixture of the build tests gives."""
    named = os.environ.get("COLVERT_SDK")
    return Path(named) if named else Path(request.getfixturevalue("sdk").root)


@pytest.fixture(scope="session")
def host(sdk_root: Path) -> Iterator[Host]:
    """A place for machines that QEMU can reach, whoever it runs as; pytest's own are closed to others."""
    with open_place() as directory:
        yield Host(sdk_root, directory / "machines", directory / "state")


@pytest.fixture(scope="session")
def image(request: pytest.FixtureRequest) -> Path:
    """The disk under test: COLVERT_IMAGE, else the one of the release that the tests built."""
    named = os.environ.get("COLVERT_IMAGE")
    if named:
        return Path(named)
    [disk] = Path(request.getfixturevalue("release")).rglob("*.qcow2")
    return disk
