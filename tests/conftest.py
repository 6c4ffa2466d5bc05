"""What the tests share: the default OS, its SDK, its packages and its image, each made once.

Unit tests use none of it. The first build test makes the SDK and compiles what the store
does not have; the first boot test needs the image that comes of it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from builder.pipeline.events import Events
from builder.pipeline.progress import PlainLines
from builder.pipeline.store import Entry
from builder.sandbox.sdk import Sdk
from builder.stages.session import Request, Session, open_session

ROOT = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test's directory is its tier; the cheap tiers run first."""
    tiers = {"unit": 0, "build": 1, "boot": 2}
    for item in items:
        tier = item.path.relative_to(ROOT / "tests").parts[0]
        if tier in ("build", "boot"):
            item.add_marker(tier)
    items.sort(key=lambda item: tiers.get(item.path.relative_to(ROOT / "tests").parts[0], 3))


@pytest.fixture(scope="session")
def session() -> Session:
    """The default OS, opened in the user's own home, so that a warm store makes the tests quick."""
    return open_session(
        Request(ROOT / "manifests/colvert.yaml"), Events(PlainLines(sys.__stderr__ or sys.stderr))
    )


@pytest.fixture(scope="session")
def sdk(session: Session) -> Sdk:
    return session.sdk


@pytest.fixture(scope="session")
def packages(session: Session) -> Mapping[str, Entry]:
    """Every package of the default OS, compiled."""
    return session.build_packages()


@pytest.fixture(scope="session")
def release(
    session: Session, packages: Mapping[str, Entry], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The directory that `build-image --target qemu` leaves."""
    from builder.stages.image import build_images

    return build_images(session, ("qemu",), tmp_path_factory.mktemp("out"))
