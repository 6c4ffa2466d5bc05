"""colvert-update, as it is in the image, against sources that are right, slow, cut, hostile and not ours.

It runs on the host with the loader and the libraries of its own packages; what it takes for the
machine is a directory of the test. What writes slots is tested where there are slots (tests/boot).
COLVERT_UPDATE names a program to use instead.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests import server as http
from tests import updates
from tests.build.places import programs_of
from tests.conftest import ROOT
from tests.server import Act, Handler
from tests.updates import Key, Published, publish, serve

STATE = "var/lib/colvert/update"
# The clock of the timer, of the back-off and of its end.
PAUSE, LONGEST = 45 * 60, 24 * 3600
# Starts the words given and says last how many KiB they had resident at most. What pytest has counts
# for whatever it starts itself, so this stands between.
MEASURE = """
import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print(usage.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


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


@dataclass
class Answer:
    """What one call came to."""

    status: int
    report: dict[str, Any]
    kib: int
    errors: str

    @property
    def code(self) -> str:
        code: str = self.report["code"]
        return code


@dataclass
class Machine:
    """A machine made of nothing but files."""

    root: Path
    into: Path
    program: list[str]

    def put(self, path: str, data: str | bytes) -> None:
        there = self.root / path
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(data.encode() if isinstance(data, str) else data)

    def call(self, *words: str) -> Answer:
        command = [*self.program, "--json", "--root", str(self.root), *words]
        done = subprocess.run(
            [sys.executable, "-S", "-E", "-c", MEASURE, *command],
            capture_output=True,
            env={},
            text=True,
            check=False,
        )
        report = json.loads(done.stdout)
        assert report["ok"] == (done.returncode == 0), report
        assert report["message"].isprintable()
        errors, _, kib = done.stderr.rstrip().rpartition("\n")
        return Answer(done.returncode, report, int(kib), errors)

    def check(self, url: str, *words: str) -> Answer:
        return self.call("check", "--from", url, *words)

    def download(self, url: str, *words: str) -> Answer:
        return self.call("download", "--from", url, "--into", str(self.into), *words)

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.root / STATE / "state.json").read_text())
        return state

    def downloaded(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.into.iterdir()}


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


# right ones


def test_a_release_is_found(machine: Machine, release: Published, key: Key) -> None:
    with serve(release.signed(key)) as server:
        answer = machine.check(server.url)
        assert (answer.status, answer.code) == (0, "available")
        assert answer.report["release"]["version"] == "1.0.2"
        assert answer.report["release"]["whole_download"] == 375_000
        assert server.asked == ["GET /index.json"]
    state = machine.state()
    assert (state["found"], state["errors"], state["code"]) == ("1.0.2", 0, "")
    assert abs(state["last_check"] - time.time()) < 60
    # and from a directory
    assert not machine.call("status").report["last_error"]


def test_the_source_of_the_configuration(machine: Machine, release: Published, key: Key) -> None:
    assert machine.call("check").code == "no-source"
    with serve({f"stable/{name}": data for name, data in release.signed(key).items()}) as server:
        machine.put("etc/colvert/update.conf", f'# mine\nSOURCE="{server.url}/stable/"\n')
        assert machine.call("check").code == "available"
        assert machine.call("check", "--version", "1.0.2").code == "available"
        assert machine.call("check", "--version", "1.0.3").code == "network"


@pytest.mark.parametrize(
    "text",
    [
        "SOURCE=ftp://example.org\n",
        "SOURCE=relative\n",
        "REBOOT=perhaps\n",
        "RATE=fast\n",
        "RATE=-1\n",
        "KEXEC=1\n",
        "REBOOT=window\n",
        "SOURCE\n",
        'CHANNEL="stable\n',
        "CHANNEL=\n",
        "STALL_SECONDS=0\n",
    ],
)
def test_a_bad_configuration_is_told_and_not_guessed_at(machine: Machine, text: str) -> None:
    machine.put("etc/colvert/update.conf", "# one\n" + text)
    answer = machine.call("check", "--from", "http://127.0.0.1:9")
    assert (answer.status, answer.code) == (2, "usage")
    assert "/etc/colvert/update.conf" in answer.report["message"]


def test_a_bad_configuration_does_not_end_updates_silently(machine: Machine) -> None:
    """Nobody reads what the timer's call says: `status` has to tell."""
    assert machine.call("status").report["settings_error"] is None
    machine.put("etc/colvert/update.conf", "# one\nREBOOT=perhaps\n")
    told = machine.call("status")
    assert (told.status, told.report["last_error"]) == (0, None)
    assert "/etc/colvert/update.conf, line 2" in told.report["settings_error"]
    # by hand it is told whoever asks, and is no check
    assert machine.call("check").code == "usage"
    assert not (machine.root / STATE / "state.json").exists()
    assert machine.call("--automatic", "check").code == "usage"
    assert machine.call("status").report["last_error"]["code"] == "usage"
    # and a line that is corrected helps at the next look, not after a pause
    assert machine.state()["errors"] == 0
    # the version that runs is recorded all the same
    assert machine.call("booted").code == "usage"
    assert (machine.root / STATE / "defaults/1.0.1").exists()


def test_a_release_is_downloaded_whole(
    machine: Machine, release: Published, key: Key, tmp_path: Path
) -> None:
    files = release.signed(key)
    with serve(files) as server:
        assert machine.download(server.url).code == "done"
        assert machine.downloaded() == files
        # nothing is fetched twice
        server.asked.clear()
        assert machine.download(server.url).code == "done"
        assert server.asked == ["GET /index.json"]
    # what was downloaded is a source
    assert machine.check(str(machine.into)).code == "available"


def test_a_signature_of_the_root_hash_is_a_file_of_the_release(machine: Machine, key: Key) -> None:
    """The part that an index may have or not."""
    files = publish("1.0.2", sizes={"signature": 900}).signed(key)
    with serve(files) as server:
        answer = machine.download(server.url)
    assert answer.code == "done"
    assert answer.report["release"]["whole_download"] == 375_900
    assert machine.downloaded() == files


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_other_kinds_of_keys(machine: Machine, release: Published, key: Key, kind: str) -> None:
    other: Key = (
        ec.generate_private_key(ec.SECP256R1())
        if kind == "ecdsa"
        else rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    with serve(release.signed(other)) as server:
        assert machine.check(server.url).code == "signature"
        machine.put("usr/lib/colvert/keys/update/other.pem", updates.pem(other))
        assert machine.check(server.url).code == "available"
    with serve(release.signed(ed25519.Ed25519PrivateKey.generate(), key)) as server:
        assert machine.check(server.url).code == "available"


def test_memory(machine: Machine, key: Key) -> None:
    large = publish("1.0.2", sizes={"usr": 80_000_000})
    with serve(large.signed(key)) as server:
        answer = machine.download(server.url)
    assert answer.code == "done"
    assert answer.kib < 32 * 1024


def test_rate(machine: Machine, release: Published, key: Key) -> None:
    machine.put("etc/colvert/update.conf", "RATE=150000\n")
    with serve(release.signed(key)) as server:
        started = time.monotonic()
        assert machine.download(server.url).code == "done"
    assert time.monotonic() - started > 1.2


# networks that are not


@pytest.mark.parametrize("behave", [updates.dropping, updates.no_ranges])
def test_a_connection_that_breaks_is_gone_on_from(
    machine: Machine, release: Published, key: Key, behave: Act
) -> None:
    files = release.signed(key)
    with serve(files, {release.name("usr"): behave}) as server:
        assert machine.download(server.url).code == "done"
        asked = [line for line in server.asked if release.name("usr") in line]
    assert machine.downloaded() == files
    assert ["bytes=" in line for line in asked] == [False, True, True][
        : 3 if behave is updates.dropping else 2
    ]


def test_a_later_call_goes_on_from_what_an_earlier_one_left(
    machine: Machine, release: Published, key: Key
) -> None:
    files, name = release.signed(key), release.name("usr")
    (machine.into / f"{name}.part").write_bytes(files[name][:123_456])
    with serve(files) as server:
        assert machine.download(server.url).code == "done"
        assert f"GET /{name} bytes=123456-" in server.asked
    assert machine.downloaded() == files
    # what is there and wrong, or longer than the whole, is not gone on from
    for wrong in (b"x" * 123_456, b"x" * 400_000, files[name] + b"x"):
        (machine.into / name).unlink()
        (machine.into / f"{name}.part").write_bytes(wrong)
        with serve(files) as server:
            first = machine.download(server.url)
            assert first.code == ("format" if len(wrong) < len(files[name]) else "done")
            assert machine.download(server.url).code == "done"
        assert machine.downloaded() == files


@pytest.mark.parametrize(
    ("behave", "code", "status"),
    [
        (updates.truncated, "format", 2),
        (updates.cut, "format", 2),
        (updates.longer, "format", 2),
        (http.endless, "format", 2),
        (updates.garbage, "format", 2),
        (http.nonsense, "network", 1),
        (updates.loop, "network", 1),
        (updates.elsewhere, "network", 1),
        (updates.wrong_part, "network", 1),
        (lambda handler: handler.head(404, 0), "network", 1),
        (lambda handler: handler.head(403, 0), "network", 1),
    ],
)
def test_a_bad_server_leaves_no_wrong_file(
    machine: Machine, release: Published, key: Key, behave: Act, code: str,
    status: int,
) -> None:  # fmt: skip
    files, name = release.signed(key), release.name("usr")
    with serve(files, {name: behave}) as server:
        started = time.monotonic()
        answer = machine.download(server.url)
        assert (answer.code, answer.status) == (code, status), answer.report
        assert time.monotonic() - started < 20
        # six in all, where it goes round
        assert server.count(name) <= 6
        left = machine.downloaded()
        # no index says that this directory is whole; what is left is the start of the file
        assert "index.json" not in left
        assert name not in left
        assert files[name].startswith(left.get(f"{name}.part", b""))
        # and once the server is well, so is everything
        server.behave.clear()
        assert machine.download(server.url).code == "done"
    assert machine.downloaded() == files


@pytest.mark.parametrize("behave", [http.dead, updates.slow])
def test_a_server_that_stalls_holds_nobody(
    machine: Machine, release: Published, key: Key, behave: Act
) -> None:
    with serve(release.signed(key), {"index.json": behave}) as server:
        started = time.monotonic()
        answer = machine.check(server.url)
        assert (answer.status, answer.code) == (1, "network")
        assert server.count("index.json") == 3
        assert time.monotonic() - started < 20


def test_a_busy_server_is_asked_again(machine: Machine, release: Published, key: Key) -> None:
    files = release.signed(key)

    def busy(handler: Handler) -> None:
        if handler.server_of.count("index.json") < 3:
            handler.head(503, 0)
        else:
            handler.send(handler.data)

    with serve(files, {"index.json": busy}) as server:
        assert machine.check(server.url).code == "available"


def test_nobody_listens(machine: Machine) -> None:
    answer = machine.check("http://127.0.0.1:9")
    assert (answer.status, answer.code) == (1, "network")


@pytest.mark.parametrize(
    ("behave", "code"),
    [
        (updates.loop, "network"),
        (updates.elsewhere, "network"),
        (http.nonsense, "network"),
        (http.endless, "format"),
        (updates.cut, "format"),
        (lambda handler: handler.answer(200, b"<html>portal</html>"), "format"),
        (lambda handler: handler.answer(200), "format"),
        (lambda handler: handler.answer(416), "network"),
        (lambda handler: handler.answer(200, b"\x00" * 2000), "format"),
        (lambda handler: handler.answer(200, b"{" * 2_000_000), "format"),
        # small enough, and hundreds of MiB once it is parsed
        (lambda handler: handler.answer(200, _many("{}")), "format"),
        (lambda handler: handler.answer(200, _many("0")), "format"),
    ],
)
def test_a_bad_index(machine: Machine, release: Published, key: Key, behave: Act, code: str) -> None:
    with serve(release.signed(key), {"index.json": behave}) as server:
        answer = machine.check(server.url)
        assert (answer.code, answer.report.get("release")) == (code, None)
        assert answer.kib < 32 * 1024


def _many(value: str) -> bytes:
    """As many values as an envelope has room for."""
    return f'{{"a":[{",".join([value] * (2**20 // len(value + ",") - 8))}]}}'.encode()


# releases that are not for this machine


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"expires": int(time.time()) - 1}, "expired"),
        ({"channel": "testing"}, "channel"),
        ({"image_id": "other"}, "image-id"),
        ({"architecture": "aarch64"}, "architecture"),
        ({"version": "1.0.0"}, "older"),
        ({"version": "1.0.1~rc"}, "format"),
        ({"from_at_least": "1.0.2"}, "from-at-least"),
        ({"format": 2}, "format"),
        ({"root_hash": "x"}, "format"),
        ({"version": "1.0.1"}, "running"),
    ],
)
def test_refused(machine: Machine, release: Published, key: Key, changes: dict[str, Any], code: str) -> None:
    with serve(release.signed(key, **changes)) as server:
        answer = machine.check(server.url)
        assert answer.code == code
        assert answer.status == (0 if code == "running" else 2)
        if code not in ("older", "from-at-least", "running"):
            assert machine.download(server.url).code == code
            assert machine.downloaded() == {}


def test_signatures(machine: Machine, release: Published, key: Key) -> None:
    good = release.signed(key)["index.json"]
    stranger = ed25519.Ed25519PrivateKey.generate()
    payload = json.dumps(dict(release.index)).encode()
    envelope = json.loads(good)
    claims = {
        **envelope["signatures"][0],
        "sig": json.loads(release.signed(stranger)["index.json"])["signatures"][0]["sig"],
    }
    other = {**dict(release.index), "version": "9"}
    bad = {
        "of a stranger": updates.envelope(payload, stranger),
        "of nobody": updates.envelope(payload),
        "claimed": json.dumps({**envelope, "signatures": [claims]}).encode(),
        "of another payload": json.dumps(
            {**envelope, "payload": json.loads(updates.envelope(json.dumps(other).encode()))["payload"]}
        ).encode(),
    }
    for name, text in bad.items():
        with serve({"index.json": text}) as server:
            assert machine.check(server.url).code == "signature", name
    with serve({"index.json": updates.envelope(payload, key, payload_type="text/plain")}) as server:
        assert machine.check(server.url).code == "format"
    # an index by another name
    with serve({"1.0.9.json": good}) as server:
        assert machine.check(server.url, "--version", "1.0.9").code == "format"


def test_a_ring_that_is_no_ring(machine: Machine, release: Published, key: Key) -> None:
    with serve(release.signed(key)) as server:
        machine.put("usr/lib/colvert/keys/update/bad.pem", "-----BEGIN PUBLIC KEY-----\nAAAA\n")
        assert machine.check(server.url).code == "signature"
        (machine.root / "usr/lib/colvert/keys/update/bad.pem").unlink()
        (machine.root / "usr/lib/colvert/keys/update/test.pem").unlink()
        assert machine.check(server.url).code == "signature"
        machine.put("usr/lib/colvert/keys/update/dsa.pem", updates.pem(_weak()))
        assert machine.check(server.url).code == "signature"


def _weak() -> Key:
    return rsa.generate_private_key(public_exponent=65537, key_size=1024)


def test_older_only_when_told_so(machine: Machine, release: Published, key: Key) -> None:
    with serve(release.signed(key, version="1.0.0")) as server:
        assert machine.check(server.url, "--version", "1.0.0").code == "older"
        assert machine.check(server.url, "--allow-older").code == "usage"
        assert machine.check(server.url, "--version", "1.0.0", "--allow-older").code == "available"


def test_what_failed_here_before(machine: Machine, release: Published, key: Key) -> None:
    record = {
        "version": "1.0.2",
        "kind": "panic",
        "reason": "no \x1b[2Jinit",
        "when": 1790000000,
        "attempts": 3,
    }
    machine.put("var/lib/colvert/failed/1.0.2/record.json", json.dumps(record))
    with serve(release.signed(key)) as server:
        answer = machine.check(server.url)
        assert (answer.status, answer.code) == (2, "failed-before")
        assert "panic" in answer.report["message"]
        assert machine.check(server.url, "--allow-failed").code == "available"
        assert machine.state()["errors"] == 0
        # another release is not held up
        server.files.update(publish("1.0.3").signed(key))
        assert machine.check(server.url).code == "available"
        # a record that cannot be read is one
        machine.put("var/lib/colvert/failed/1.0.3/record.json", "{")
        assert machine.check(server.url).code == "failed-before"
    failed = machine.call("status").report["failed"]
    assert [one["version"] for one in failed] == ["1.0.3", "1.0.2"]
    assert failed[1]["reason"] == "no ?[2Jinit"


# the timer


def test_back_off(machine: Machine, release: Published, key: Key) -> None:
    expected = [PAUSE * 2**number for number in range(5)] + [LONGEST]
    for number, pause in enumerate(expected, 1):
        machine.check("http://127.0.0.1:9")
        state = machine.state()
        assert state["errors"] == number
        assert state["next_attempt"] - state["last_check"] == min(pause, LONGEST)
    assert machine.call("--automatic", "update", "--from", "http://127.0.0.1:9").code == "later"
    status = machine.call("status").report
    assert status["last_error"]["code"] == "network"
    assert status["next_check"] > time.time()
    # a person is not made to wait, and a good answer ends it
    with serve(release.signed(key)) as server:
        assert machine.check(server.url).code == "available"
    assert machine.state()["errors"] == 0
    # a clock that was in the future does not stop all checks
    machine.put(
        f"{STATE}/state.json", json.dumps({"errors": 3, "next_attempt": int(time.time()) + 9 * LONGEST})
    )
    assert machine.call("--automatic", "update", "--from", "http://127.0.0.1:9").code == "usage"


def test_the_timer_without_a_source_does_nothing(machine: Machine) -> None:
    answer = machine.call("--automatic", "update")
    assert (answer.status, answer.code) == (0, "no-source")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"errors": "x", "next_attempt": -5}', "\x00" * 100])
def test_a_state_that_cannot_be_read_is_none(machine: Machine, text: str) -> None:
    machine.put(f"{STATE}/state.json", text)
    assert machine.call("status").report["errors"] == 0


def test_a_state_that_cannot_be_written_changes_no_answer(
    machine: Machine, release: Published, key: Key
) -> None:
    """Not even root writes below a file."""
    machine.put(STATE, "")
    with serve(release.signed(key)) as server:
        good = machine.check(server.url)
    bad = machine.check("http://127.0.0.1:9")
    assert [(one.status, one.code) for one in (good, bad)] == [(0, "available"), (1, "network")]
    for answer in (good, bad):
        assert f"/{STATE}/state.json cannot be written: Not a directory." in answer.errors


# defaults


def test_defaults(machine: Machine) -> None:
    place = "usr/share/colvert/etc"
    for name in ("same", "changed", "gone", "d/hidden", "d/sub/below"):
        machine.put(f"{place}/{name}", "one")
    assert machine.call("booted").code == "done"
    recorded = (machine.root / STATE / "defaults/1.0.1").read_text()
    check = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet"],
        cwd=machine.root / place,
        input=recorded,
        text=True,
        check=True,
    )
    assert check.returncode == 0
    assert machine.call("defaults").report["defaults"] == []
    machine.put("usr/lib/os-release", "IMAGE_ID=colvert\nIMAGE_VERSION=1.0.2\n")
    for name in ("changed", "new", "d/hidden", "d/sub/below"):
        machine.put(f"{place}/{name}", "two")
    (machine.root / place / "gone").unlink()
    (machine.root / place / "link").symlink_to("same")
    assert machine.call("booted").code == "done"
    machine.put("var/lib/colvert/etc/upper/d/hidden", "mine")
    machine.put("var/lib/colvert/etc/upper/same", "mine")
    report = machine.call("defaults").report
    assert (report["from"], report["to"]) == ("1.0.1", "1.0.2")
    found = {item["path"]: (item["change"], item["hidden"]) for item in report["defaults"]}
    assert found == {
        "changed": ("changed", False),
        "d/hidden": ("changed", True),
        "d/sub/below": ("changed", False),
        "gone": ("removed", False),
        "link": ("added", False),
        "new": ("added", False),
    }
    assert machine.call("defaults", "--from", "1.0.1").report["defaults"] == report["defaults"]
    assert machine.call("defaults", "--from", "7").code == "usage"


# the command line


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["dance"],
        ["check", "more"],
        ["status", "--reboot"],
        ["check", "--into", "x"],
        ["update", "--versio"],
        ["download"],
        ["check", "--version", "../x"],
        ["check", "--from", "file:///etc"],
        ["update"],
        ["rollback"],
    ],
)
def test_wrong_usage(machine: Machine, words: list[str]) -> None:
    answer = machine.call(*words)
    assert (answer.status, answer.code) == (2, "usage")


def test_words_for_people(machine: Machine, release: Published, key: Key) -> None:
    def say(*words: str) -> subprocess.CompletedProcess[str]:
        command = [*machine.program, "--root", str(machine.root), *words]
        return subprocess.run(command, capture_output=True, text=True, env={}, check=False)

    with serve(release.signed(key)) as server:
        assert say("check", "--from", server.url).stdout.startswith("Release 1.0.2 can be installed")
        done = say("download", "--from", server.url, "--into", str(machine.into))
        assert "300 of 300 kB" in done.stderr
    refused = say("check")
    assert refused.returncode == 2
    assert refused.stderr.startswith("colvert-update: no-source: ")
    assert "running:    colvert 1.0.1" in say("status").stdout
    assert "Examples:" in say("--help").stdout


def test_version_order_is_systemds() -> None:
    """The table that the C test holds our order against, held against systemd's."""
    source = ROOT / "overlays/colvert/sys-apps/colvert-update/files/test/test-version.c"
    table = source.read_text().partition("ascending[] = {")[2].partition("};")[0]
    versions = re.findall(r'"([^"]*)"', table)
    assert len(versions) > 30
    for lower, higher in pairwise(versions):
        said = subprocess.run(["systemd-analyze", "compare-versions", lower, "lt", higher], check=False)
        assert said.returncode == 0, (lower, higher)
