"""The provisioning agent, as it is in the image, against services that are right, slow, dead and hostile.

It runs on the host with the loader and the libraries of its own packages, below a directory of
the test. COLVERT_PROVISION names a directory with the two programs to use instead.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import metadata, server
from tests.build.programs import programs_of
from tests.metadata import Service
from tests.server import Act, Handler, serve

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP/+/fz7+vn49/b19PPy8fDv7u3s6+rp6Ofm5eTj4uHg"
SECRET = "hunter2-of-the-test"
KEYS = "root/.ssh/authorized_keys.d/provision"
STATE = "var/lib/colvert/provision"
EC2 = {"sys_vendor": "Amazon EC2"}
GCE = {"product_name": "Google Compute Engine"}
OPENSTACK = {"product_name": "OpenStack Nova"}
# no test waits as long as a machine would
SECONDS = 3


@pytest.fixture(scope="session")
def programs(request: pytest.FixtureRequest) -> Mapping[str, list[str]]:
    """How to start the two programs."""
    named = os.environ.get("COLVERT_PROVISION")
    if named:
        return {name: [str(Path(named) / f"provision-{name}")] for name in ("fetch", "apply")}
    start, image = programs_of(request.getfixturevalue("session"), "sys-apps/colvert-provision")
    place = image / "usr/lib/colvert"
    return {name: [*start, str(place / f"provision-{name}")] for name in ("fetch", "apply")}


@dataclass(frozen=True)
class Guest:
    """A machine made of nothing but the files that the agent reads and writes."""

    root: Path
    programs: Mapping[str, list[str]]

    def put(self, path: str, text: str) -> None:
        there = self.root / path
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(text)

    def dmi(self, fields: Mapping[str, str]) -> None:
        for name, value in fields.items():
            self.put(f"sys/class/dmi/id/{name}", value + "\n")

    def get(self, path: str) -> str | None:
        there = self.root / path
        return there.read_text() if there.is_file() else None

    def boot(
        self, service: Service | None = None, *, seconds: int = SECONDS, credentials: Path | None = None
    ) -> str:
        """Run both steps, as a boot does; returns what they say."""
        out = self.root / "run/colvert-provision"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        port = service.port if service else 9  # nobody listens there
        fetch = ["--root", str(self.root), "--out", str(out), "--address", f"127.0.0.1:{port}"]
        env = {"CREDENTIALS_DIRECTORY": str(credentials)} if credentials else {}
        # a proxy of the environment must not be asked
        env["http_proxy"] = "http://127.0.0.1:1"
        said = self._run("fetch", [*fetch, "--seconds", str(seconds)], env)
        if (out / "ready").exists():
            said += self._run("apply", ["--root", str(self.root), "--from", str(out)], {})
        return said

    def _run(self, name: str, words: list[str], env: Mapping[str, str]) -> str:
        done = subprocess.run(
            [*self.programs[name], *words], env=dict(env), capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == b""
        return done.stderr.decode()

    def calls(self) -> list[str]:
        """What the service manager was asked for."""
        return [line.strip() for line in (self.get("run/manager") or "").splitlines()]

    def written(self) -> set[str]:
        """All files that are there now, save what one step leaves for the other."""
        found = {str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()}
        return {path for path in found if not path.startswith("run/")}


@pytest.fixture
def guest(tmp_path: Path, programs: Mapping[str, list[str]]) -> Guest:
    made = Guest(tmp_path / "root", programs)
    made.put("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    made.put("run/.there", "")
    return made


# right ones


def test_ec2(guest: Guest) -> None:
    guest.dmi(EC2)
    script = f"#!/bin/sh\necho {SECRET}\n"
    with serve(metadata.ec2(keys={"mine": f"{KEY} me", "yours": OTHER}, user_data=script)) as service:
        said = guest.boot(service)
        assert guest.get(KEYS) == f"{KEY} me\n{OTHER}\n"
        assert guest.get("etc/hostname") == "ip-10-1-2-3.eu-west-1.compute.internal\n"
        assert guest.get(f"{STATE}/script") == script
        assert (guest.root / STATE / "script").stat().st_mode & 0o777 == 0o700
        assert guest.get(f"{STATE}/instance-id") == "i-0123456789abcdef0\n"
        assert guest.calls() == ["start colvert-provision-script.service"]
        assert SECRET not in said
        assert "PUT /latest/api/token" in service.asked
        # the same instance again: two questions, nothing done
        (guest.root / STATE / "script").unlink()
        service.asked.clear()
        guest.boot(service)
        assert len(service.asked) == 2
        assert guest.get(f"{STATE}/script") is None
        assert len(guest.calls()) == 1


def test_a_clone_is_another_instance(guest: Guest) -> None:
    guest.dmi(EC2)
    with serve(metadata.ec2(keys={"mine": KEY}, name="one", instance="i-1")) as service:
        guest.boot(service)
    with serve(metadata.ec2(keys={}, name="two", instance="i-2")) as service:
        guest.boot(service)
    assert guest.get(KEYS) is None
    assert guest.get("etc/hostname") == "two\n"
    assert guest.get(f"{STATE}/instance-id") == "i-2\n"


def test_ec2_insists_on_its_token(guest: Guest) -> None:
    guest.dmi(EC2)
    with serve(metadata.ec2(keys={"mine": KEY}, token=False)) as service:
        assert "nothing was learned" in guest.boot(service)
    assert guest.get(KEYS) is None


@pytest.mark.parametrize("platform", ["brightbox", "eucalyptus"])
def test_who_speaks_ec2_without_a_token(guest: Guest, platform: str) -> None:
    guest.dmi({"sys_vendor": "QEMU"})
    guest.put("oem/oem-release", f'ID={platform}\nNAME="x"\n')
    with serve(metadata.ec2(keys={"mine": KEY}, token=False)) as service:
        guest.boot(service)
    assert guest.get(KEYS) == f"{KEY}\n"


@pytest.mark.parametrize(
    ("block", "expected"),
    [(None, f"{KEY} a\n{OTHER}\n"), ("FALSE", f"{KEY} a\n{OTHER}\n"), ("TRUE", f"{KEY} a\n")],
)
def test_gce(guest: Guest, block: str | None, expected: str) -> None:
    guest.dmi(GCE)
    with serve(metadata.gce(keys=f"alice:{KEY} a\n", project=f"bob:{OTHER}", block=block)) as service:
        guest.boot(service)
    assert guest.get(KEYS) == expected
    assert guest.get("etc/hostname") == "web.europe-west1-b.c.demo.internal\n"


def test_openstack_service(guest: Guest) -> None:
    guest.dmi(OPENSTACK)
    with serve(metadata.openstack(keys={"k": KEY}, user_data="#!/bin/sh\n")) as service:
        guest.boot(service)
    assert guest.get(KEYS) == f"{KEY}\n"
    assert guest.get(f"{STATE}/instance-id") == metadata.UUID + "\n"
    assert guest.get(f"{STATE}/script") == "#!/bin/sh\n"


def test_openstack_config_drive_comes_first(guest: Guest) -> None:
    guest.dmi(OPENSTACK)
    guest.put(
        "run/configdrive/openstack/latest/meta_data.json", metadata.openstack_metadata(keys={"k": OTHER})
    )
    with serve(metadata.openstack(keys={"k": KEY})) as service:
        guest.boot(service)
        assert service.asked == []
    assert guest.get(KEYS) == f"{OTHER}\n"


def test_vagrant(guest: Guest) -> None:
    guest.dmi({"sys_vendor": "VMware, Inc."})
    guest.put("oem/oem-release", "ID=vagrant\n")
    guest.put("oem/ssh/authorized_keys.root", f"{KEY} insecure\n")
    guest.boot()
    # in the file in which Vagrant replaces it
    assert guest.get("root/.ssh/authorized_keys") == f"{KEY} insecure\n"
    guest.put("root/.ssh/authorized_keys", f"{OTHER} vagrant's own\n")
    guest.boot()
    assert guest.get("root/.ssh/authorized_keys") == f"{OTHER} vagrant's own\n"


def test_a_credential_of_the_hypervisor(guest: Guest, tmp_path: Path) -> None:
    guest.dmi({"sys_vendor": "QEMU"})
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "colvert.user-data").write_text("#!/bin/sh\n")
    guest.boot(credentials=credentials)
    assert guest.get(f"{STATE}/script") == "#!/bin/sh\n"


@pytest.mark.parametrize("vendor", ["QEMU", "innotek GmbH", "", "Nobody Inc."])
def test_a_machine_without_a_platform_is_left_alone_at_once(guest: Guest, vendor: str) -> None:
    guest.dmi({"sys_vendor": vendor})
    guest.put("oem/oem-release", "ID=qemu\n")
    before, started = guest.written(), time.monotonic()
    assert guest.boot() == ""
    assert time.monotonic() - started < 1
    assert guest.written() == before


# user data


def test_credentials(guest: Guest) -> None:
    guest.dmi(EC2)
    document = json.dumps(
        {
            "systemd.credentials": [
                {"name": "tmpfiles.extra", "text": f"f /run/secret 0600 root root - {SECRET}"},
                {"name": "app.token", "data": "aHVudGVyMi1vZi10aGUtdGVzdA=="},
                {"name": "systemd.extra-unit.app.service", "text": "[Service]\nExecStart=/bin/true\n"},
                {"name": "systemd.unit-dropin.multi-user.target", "text": "[Unit]\nWants=app.service\n"},
            ]
        }
    )
    with serve(metadata.ec2(keys={}, user_data=document)) as service:
        said = guest.boot(service)
    assert SECRET not in said
    assert guest.get("etc/credstore/app.token") == SECRET
    for name in ("app.token", "tmpfiles.extra"):
        assert (guest.root / "etc/credstore" / name).stat().st_mode & 0o777 == 0o600
    assert guest.get("etc/systemd/system/app.service") == "[Service]\nExecStart=/bin/true\n"
    assert guest.calls() == [
        "daemon-reload",
        "start colvert-provision-credentials.service",
        "start multi-user.target",
    ]


@pytest.mark.parametrize(
    "data", ["#cloud-config\npackages: [x]\n", "hello", b"\x1f\x8b\x08\x00", b"\xff" * 100]
)
def test_other_user_data_is_left_alone(guest: Guest, data: str | bytes) -> None:
    guest.dmi(EC2)
    with serve(metadata.ec2(keys={"mine": KEY}, user_data=data)) as service:
        said = guest.boot(service)
    assert f"unknown form: {len(data)} bytes" in said
    assert guest.calls() == []
    # it is known now, and not asked for again
    assert guest.get(f"{STATE}/instance-id") is not None


def test_the_largest_user_data(guest: Guest) -> None:
    guest.dmi(EC2)
    script = "#!/bin/sh\n".ljust((1 << 20) - 1, "#") + "\n"
    with serve(metadata.ec2(keys={}, user_data=script)) as service:
        guest.boot(service)
        assert guest.get(f"{STATE}/script") == script


def test_user_data_that_is_too_large_is_not_cut_but_refused(guest: Guest) -> None:
    guest.dmi(EC2)
    script = "#!/bin/sh\n".ljust((1 << 20) + 1, "#")
    with serve(metadata.ec2(keys={"mine": KEY}, user_data=script)) as service:
        said = guest.boot(service)
    assert "larger than" in said
    assert guest.get(KEYS) == f"{KEY}\n"
    assert guest.get(f"{STATE}/script") is None


# bad ones


@pytest.mark.parametrize("dmi", [EC2, GCE, OPENSTACK], ids=["ec2", "gce", "openstack"])
@pytest.mark.parametrize(
    "behave",
    [
        server.dead,
        metadata.slow,
        metadata.garbage,
        server.nonsense,
        metadata.errors,
        server.endless,
        metadata.endless_headers,
        metadata.huge,
        metadata.redirect,
    ],
)
def test_a_bad_service_changes_nothing_and_holds_nobody(
    guest: Guest, dmi: Mapping[str, str], behave: Act
) -> None:
    guest.dmi(dmi)
    before, started = guest.written(), time.monotonic()
    with serve(Service(behave={"": behave})) as service:
        said = guest.boot(service, seconds=1)
        assert time.monotonic() - started < 5
        assert "nothing was learned" in said
        assert guest.written() == before
        # no redirect was followed
        assert not [line for line in service.asked if "elsewhere" in line]
    assert said.isprintable() or "\x1b" not in said
    # and once it answers, all is well
    if dmi is EC2:
        with serve(metadata.ec2(keys={"mine": KEY})) as service:
            guest.boot(service)
        assert guest.get(KEYS) == f"{KEY}\n"


def test_nobody_listens(guest: Guest) -> None:
    guest.dmi(EC2)
    started = time.monotonic()
    assert "nothing was learned" in guest.boot(seconds=2)
    assert time.monotonic() - started < 5


def test_a_service_that_comes_late_is_waited_for(guest: Guest) -> None:
    guest.dmi(EC2)
    right = metadata.ec2(keys={"mine": KEY})
    calls = 0

    def late(handler: Handler) -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            handler.answer(503)
        else:
            right.right(handler)

    right.behave[""] = late
    with serve(right) as service:
        guest.boot(service, seconds=10)
    assert guest.get(KEYS) == f"{KEY}\n"


def test_an_answer_that_stays_open_is_asked_for_again(guest: Guest) -> None:
    guest.dmi(EC2)
    script = metadata.ec2(keys={"mine": KEY}, user_data="#!/bin/sh\n")
    script.behave["user-data"] = metadata.errors
    with serve(script) as service:
        assert "did not answer everything" in guest.boot(service, seconds=1)
        # who may enter is not left out for that
        assert guest.get(KEYS) == f"{KEY}\n"
        assert guest.get(f"{STATE}/instance-id") is None
        service.behave.clear()
        guest.boot(service)
    assert guest.get(f"{STATE}/script") == "#!/bin/sh\n"


def test_a_hostile_service_gets_nothing(guest: Guest) -> None:
    guest.dmi(EC2)
    before = guest.written()
    with serve(Service(behave={"": metadata.hostile(KEY)})) as service:
        said = guest.boot(service)
    assert "\x1b" not in said
    assert all(line.startswith("<") for line in said.splitlines())
    assert guest.get(KEYS) is None
    assert guest.get("etc/hostname") is None
    assert guest.calls() == []
    assert guest.written() - before == {f"{STATE}/instance-id"}
