"""The requests for EC2 go through the aws command, over HTTP, to a service that takes them (moto).

moto does not know import-snapshot (it answers with an error), and of a registered image it keeps
little: that the requests are what the real service knows is what its model says.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.clients.workspace import Desk
from tests.targets import Targets

ENV = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:5000",
    "AWS_MAX_ATTEMPTS": "1",
}
# moto answers at the sandbox's own loopback
SERVICE = """
python3 -c 'from moto.server import main; main(["-p", "5000"])' > moto.log 2>&1 &
until (: < /dev/tcp/127.0.0.1/5000) 2>/dev/null; do kill -0 $! || cat moto.log; sleep 0.2; done
"""


@pytest.fixture
def shapes(desk: Desk) -> str:
    return desk.write("shapes.py", (Path(__file__).parent / "shapes.py").read_text())


def test_the_requests_are_what_the_service_knows(desk: Desk, targets: Targets, shapes: str) -> None:
    words = [
        ("ImportSnapshot", desk.inside(targets.file("ec2", ".import-snapshot.json"))),
        ("RegisterImage", desk.inside(targets.file("ec2", ".register-image.json"))),
        # Eucalyptus has the API of EC2
        ("RegisterImage", desk.inside(targets.file("eucalyptus", ".register-image.json"))),
    ]
    done = desk.run('python3 "$@"', shapes, *(word for pair in words for word in pair), check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "")


@pytest.mark.parametrize(
    ("name", "value"),
    [("BootMode", "efi"), ("TpmSupport", "v9"), ("EnaSupport", "yes"), ("Bootmode", "uefi")],
)
def test_a_wrong_request_is_seen(name: str, value: str, desk: Desk, targets: Targets, shapes: str) -> None:
    """What the test above relies on."""
    request = json.loads(targets.file("ec2", ".register-image.json").read_text())
    file = desk.write("request.json", json.dumps({**request, name: value}))
    done = desk.run('python3 "$1" RegisterImage "$2"', shapes, file, check=False)
    assert done.returncode == 1
    assert name in done.stdout


def test_register_image_over_http(desk: Desk, targets: Targets) -> None:
    """As the page of the target says it, from the snapshot on."""
    script = (
        SERVICE
        + """
        volume=$(aws ec2 create-volume --size 8 --availability-zone eu-west-1a --query VolumeId --output text)
        snapshot=$(aws ec2 create-snapshot --volume-id "$volume" --query SnapshotId --output text)
        sed "s/SNAPSHOT/$snapshot/" "$1" > register-image.json
        aws ec2 register-image --cli-input-json file://register-image.json \\
          --query ImageId --output text > image
        aws ec2 describe-images --image-ids "$(cat image)"
    """
    )
    request = json.loads(targets.file("ec2", ".register-image.json").read_text())
    said = desk.run(script, desk.inside(targets.file("ec2", ".register-image.json")), env=ENV).stdout
    [image] = json.loads(said)["Images"]
    assert {name: image[name] for name in ("Name", "Description")} == {
        name: request[name] for name in ("Name", "Description")
    }
    assert image["State"] == "available"


def test_import_snapshot_is_sent(desk: Desk, targets: Targets) -> None:
    """The aws command finds nothing wrong with it: the refusal is the service's, not its own."""
    script = SERVICE + 'aws ec2 import-snapshot --cli-input-json "file://$1" || true; cat moto.log'
    file = desk.inside(targets.file("ec2", ".import-snapshot.json"))
    said = desk.run(script, file, env=ENV).stdout
    assert "Parameter validation failed" not in said
    assert "The import_snapshot action has not been implemented" in said
