"""colvert-update, as it is in the image, against sources that are right, slow, cut, hostile and not ours.

It runs on the host with the loader and the libraries of its own packages; what it takes for the
machine is a directory of the test. What writes slots is tested where there are slots (tests/boot).
COLVERT_UPDATE names a program to use instead.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests import updates
from tests.build.programs import programs_of
from tests.build.update_client.machine import Machine
from tests.updates import Key, Published, publish


@pytest.fixture(scope="session")
def program(request: pytest.FixtureRequest) -> list[str]:
    """How to start it."""
    named = os.environ.get("COLVERT_UPDATE")
    if named:
        return [named]
    start, image = programs_of(request.getfixturevalue("session"), "sys-apps/colvert-update")
    return [*start, str(image / "usr/bin/colvert-update")]


@pytest.fixture(scope="session")
def key() -> Key:
    return ed25519.Ed25519PrivateKey.generate()


@pytest.fixture
def machine(tmp_path: Path, program: list[str], key: Key) -> Machine:
    made = Machine(tmp_path / "root", tmp_path / "into", program)
    made.into.mkdir()
    made.put("usr/lib/os-release", 'NAME="Colvert"\nIMAGE_ID=colvert\nIMAGE_VERSION=1.0.1\n')
    made.put("usr/lib/colvert/update.conf", "CHANNEL=stable\nSTALL_SECONDS=1\n")
    made.put("usr/lib/colvert/keys/update/test.pem", updates.pem(key))
    return made


@pytest.fixture(scope="session")
def release() -> Published:
    return publish("1.0.2")
