"""What the tests share: the default OS, its SDK, its packages and its image, each made once.

Unit tests use none of it. The first build test makes the SDK and compiles what the store
does not have; the first boot test needs the image that comes of it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from builder.build.session import Request, Session, open_session
from builder.pipeline.events import Events
from builder.pipeline.progress import PlainLines
from builder.pipeline.store import Entry
from builder.sandbox.home import open_home
from builder.sandbox.sdk import Sdk
from tests.build.places import open_place
from tests.clients.root import Clients, ensure_clients

ROOT = Path(__file__).parent.parent
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
    order = list(tiers)

    def folder(item: pytest.Item) -> str:
        return item.path.relative_to(ROOT / "tests").parts[0]

    for item in items:
        tier = tiers.get(folder(item), "")
        # a client that boots something says so itself
        if tier in ("build", "boot") and not item.get_closest_marker("boot"):
            item.add_marker(tier)
    items.sort(key=lambda item: order.index(folder(item)) if folder(item) in tiers else len(order))


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
    from builder.build.image import build_images

    return build_images(session, ("qemu",), tmp_path_factory.mktemp("out"))


@dataclass(frozen=True)
class Targets:
    """What `build-image --target all` leaves: a folder for each platform."""

    root: Path

    def file(self, platform: str, suffix: str) -> Path:
        """An output by the end of its name."""
        [path] = (self.root / platform).glob(f"*-{platform}{suffix}")
        return path


@pytest.fixture(scope="session")
def targets(request: pytest.FixtureRequest) -> Iterator[Targets]:
    """The default OS for every platform: COLVERT_TARGETS, else what the tests build."""
    from builder.build.image import build_images
    from builder.platforms import PLATFORMS

    named = os.environ.get("COLVERT_TARGETS")
    if named:
        yield Targets(Path(named))
        return
    with open_place() as place:
        request.getfixturevalue("packages")
        yield Targets(build_images(request.getfixturevalue("session"), tuple(PLATFORMS), place))


@pytest.fixture(scope="session")
def clients() -> Clients:
    """Vagrant, libvirt, aws, COT: the platforms' own clients."""
    return ensure_clients(open_home())
