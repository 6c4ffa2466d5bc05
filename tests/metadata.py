"""A metadata service on the host's loopback, as each cloud has one, or as none should be.

The agent is tested against it directly (tests/build) and from inside a machine (tests/boot).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.server import Act, Handler, Server

TOKEN = "AQAEA-token-of-the-test=="
UUID = "83679162-1378-4288-a2d4-70e13ec132aa"
GCE = "/computeMetadata/v1/"


@dataclass
class Service(Server):
    """What is answered by path, to whom."""

    answers: Mapping[str, str | bytes] = field(default_factory=dict)
    # a header (name, value) without which nothing is answered
    needs: tuple[str, str] | None = None
    token: bool = False

    def content(self, path: str) -> bytes | None:
        found = self.answers.get(path)
        return found.encode() if isinstance(found, str) else found

    def right(self, handler: Handler) -> None:
        if handler.command == "PUT":
            known = self.token and handler.path == "/latest/api/token"
            known = known and handler.headers["X-aws-ec2-metadata-token-ttl-seconds"] is not None
            handler.answer(200 if known else 405, TOKEN if known else "")
        elif self.needs is not None and handler.headers[self.needs[0]] != self.needs[1]:
            handler.answer(401)
        else:
            super().right(handler)


# what the platforms answer


def ec2(
    *, keys: Mapping[str, str], name: str = "ip-10-1-2-3.eu-west-1.compute.internal",
    user_data: str | bytes | None = None, instance: str = "i-0123456789abcdef0", token: bool = True,
) -> Service:  # fmt: skip
    meta = "/latest/meta-data/"
    answers: dict[str, str | bytes] = {
        f"{meta}instance-id": instance,
        f"{meta}local-hostname": name,
        f"{meta}public-keys/": "\n".join(f"{number}={label}" for number, label in enumerate(keys)),
    }
    for number, key in enumerate(keys.values()):
        answers[f"{meta}public-keys/{number}/openssh-key"] = key + "\n"
    if user_data is not None:
        answers["/latest/user-data"] = user_data
    needs = ("X-aws-ec2-metadata-token", TOKEN) if token else None
    return Service(answers=answers, needs=needs, token=token)


def gce(
    *, keys: str, project: str = "", block: str | None = None,
    name: str = "web.europe-west1-b.c.demo.internal", user_data: str | None = None,
    instance: str = "4567890123456789012",
) -> Service:  # fmt: skip
    answers: dict[str, str | bytes] = {
        f"{GCE}instance/id": instance,
        f"{GCE}instance/hostname": name,
        f"{GCE}instance/attributes/ssh-keys": keys,
        f"{GCE}project/attributes/ssh-keys": project,
    }
    if block is not None:
        answers[f"{GCE}instance/attributes/block-project-ssh-keys"] = block
    if user_data is not None:
        answers[f"{GCE}instance/attributes/user-data"] = user_data
    return Service(answers=answers, needs=("Metadata-Flavor", "Google"))


def openstack_metadata(*, keys: Mapping[str, str], name: str = "web") -> str:
    return json.dumps({"uuid": UUID, "hostname": name, "name": "other", "public_keys": dict(keys)})


def openstack(*, keys: Mapping[str, str], user_data: str | None = None) -> Service:
    base = "/openstack/latest/"
    answers: dict[str, str | bytes] = {f"{base}meta_data.json": openstack_metadata(keys=keys)}
    if user_data is not None:
        answers[f"{base}user_data"] = user_data
    return Service(answers=answers)


# what none should do


def slow(handler: Handler) -> None:
    """Answers a byte a second, for ever."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not handler.server_of.ended.is_set():
        handler.wfile.write(b"x")
        time.sleep(1)


def garbage(handler: Handler) -> None:
    """Answers everything, and nothing of it means anything."""
    handler.answer(200, bytes(range(256)) * 16)


def errors(handler: Handler) -> None:
    handler.answer(503, "later")


def endless_headers(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not handler.server_of.ended.is_set():
        handler.wfile.write(b"X-More: " + b"A" * 4096 + b"\r\n")


def huge(handler: Handler) -> None:
    """Announces more than anybody wants to have."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
    handler.server_of.ended.wait(120)


def redirect(handler: Handler) -> None:
    """Sends the agent somewhere else."""
    handler.answer(302, "", Location=f"{handler.server_of.url}/elsewhere")


def hostile(key: str) -> Act:
    """Speaks EC2's protocol, and every value tries to do harm."""

    def handle(handler: Handler) -> None:
        path = handler.path
        if handler.command == "PUT":
            handler.answer(200, TOKEN)
        elif path.endswith("instance-id"):
            handler.answer(200, "i-0badc0de")
        elif path.endswith("public-keys/"):
            handler.answer(200, "0=\x1b[2Jroot\n../../x=y\n1=b\n99999999999999999999=c\n")
        elif path.endswith("/0/openssh-key"):
            handler.answer(200, f'command="touch /pwned" {key}\nno-pty {key}\n{key} \x1b[31m\n')
        elif path.endswith("/1/openssh-key"):
            handler.answer(200, f"ssh-rsa {key.split()[1]}\n" + "A" * 20000 + f"\n{key}\x00\n\x01{key}\n")
        elif path.endswith("hostname"):
            handler.answer(200, "evil\nroot::0:0::/:/bin/sh\n")
        elif path.endswith("user-data"):
            names = ("../../etc/shadow", "a/b", "/etc/passwd", "systemd.extra-unit.../x.service", "a\nb", "")
            credentials = [{"name": name, "text": "x"} for name in names]
            handler.answer(200, json.dumps({"systemd.credentials": credentials}))
        else:
            handler.answer(404)

    return handle
