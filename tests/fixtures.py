"""Fixtures that give what was prepared (`tests/prepare.py`), each made when the first test asks for it.

A pytest plugin and no conftest: a verdict counts what these give by its digest (`prepare.GIVEN`), and their
code not at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from builder.audit.policy import LoadedPolicy, load_policy
from builder.build.session import Session
from builder.machine.accel import Accel
from builder.machine.files import Host
from builder.machine.qemu import MachineSpec
from builder.machine.snapshots import warm as restored
from builder.pipeline.entry import Entry
from builder.sandbox.sdk import Sdk
from tests import prepare
from tests.build.places import open_place
from tests.clients.root import Clients
from tests.conftest import ROOT
from tests.slots import Release
from tests.targets import Targets


@pytest.fixture(scope="session")
def session() -> Session:
    return prepare.session()


@pytest.fixture(scope="session")
def sdk(session: Session) -> Sdk:
    return session.sdk


@pytest.fixture(scope="session")
def packages() -> Mapping[str, Entry]:
    """Every package of the default OS, compiled."""
    return prepare.packages()


@pytest.fixture(scope="session")
def release() -> Path:
    """The directory that `build-image --target qemu` leaves."""
    return prepare.release()


@pytest.fixture(scope="session")
def targets() -> Targets:
    """A release for every platform: COLVERT_TARGETS, else what the tests build."""
    return prepare.targets()


@pytest.fixture(scope="session")
def targets_session() -> Session:
    """The session of which those are."""
    return prepare.targets_session()


@pytest.fixture(scope="session")
def clients() -> Clients:
    """Vagrant, libvirt, aws, COT: the platforms' own clients."""
    return prepare.clients()


# --- what is booted ---------------------------------------------------------------------


@pytest.fixture(scope="session")
def sdk_root() -> Path:
    """The SDK's root: COLVERT_SDK, else the one that the tests make."""
    named = os.environ.get("COLVERT_SDK")
    return Path(named) if named else prepare.session().sdk.root


@pytest.fixture(scope="session")
def host(sdk_root: Path) -> Iterator[Host]:
    """A place for machines that QEMU can reach, whoever it runs as; pytest's own are closed to others.

    The key is the checkout's own: a snapshot of a machine that takes it is good for the next run too.
    """
    with open_place() as directory:
        yield Host(sdk_root, directory / "machines", prepare.STATE)


@pytest.fixture(scope="session")
def image() -> Path:
    """The disk under test: COLVERT_IMAGE, else the default OS for QEMU."""
    return prepare.image()


@pytest.fixture(scope="session")
def slot() -> Release:
    """The default OS as a slot holds it."""
    return prepare.slot()


@pytest.fixture(scope="session")
def slots() -> tuple[Release, Release]:
    """Versions 1 and 2 of the releases as slots hold them."""
    return prepare.slots()


@pytest.fixture(scope="session")
def built() -> Path:
    """OUT with the releases 1 to 4, as they are built and signed."""
    return prepare.releases()


@pytest.fixture(scope="session")
def policy() -> LoadedPolicy:
    """The audit's policy of the default OS."""
    return load_policy(ROOT / "manifests/audit.yaml")


@pytest.fixture(scope="session")
def warm(host: Host) -> Callable[[MachineSpec], MachineSpec]:
    """Makes a machine one that is restored from a snapshot; under KVM it boots, which takes as long."""

    def make(spec: MachineSpec) -> MachineSpec:
        if host.accel(spec).accel is Accel.KVM:
            return spec
        return restored(prepare.session().executor, spec)

    return make
