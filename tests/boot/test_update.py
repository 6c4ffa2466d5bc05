"""Boot: one machine that is updated, refuses what it must, goes back and comes back by itself.

Real releases of the default OS, a plain HTTP server on the host, one machine for all of it: its
tests stand in the order in which things happen to it. What goes wrong on the way of the
bytes is met by the client alone in `tests/build/update_client`; every way of coming
back from a bad release in `test_fallback.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from builder.machine.files import Host
from builder.updates.dsse import parse
from builder.updates.keys import Signer
from tests import updates
from tests.boot.updates import Client, Index, Releases, changed, published
from tests.booted import BOOT_SECONDS, SETTLE_SECONDS, Warm, spec_of, up
from tests.server import Act, Handler

pytestmark = pytest.mark.boot

SETTING = "/etc/colvert-test/setting"
# the machine's own ways of looking for a release and of restarting, without their waiting
SOON = """[Timer]
OnBootSec=
OnActiveSec=1
AccuracySec=1
RandomizedDelaySec=0
"""
WINDOW = """REBOOT=window
WINDOW_START="{start}"
WINDOW_LENGTH={seconds}s
"""
WINDOW_AHEAD, WINDOW_SECONDS = 3600, 20
RESTART = "colvert-update-restart"
# what the update's own control group says while the update runs
GROUP = "/run/colvert/group"
LIMITS = {
    "cpu.idle": "1",
    "io.weight": "default 1",
    "memory.high": f"{32 << 20}",
    "memory.max": f"{128 << 20}",
}
TELL = f"""[Service]
ExecStartPost=/bin/sh -c 'cat /proc/self/cgroup > {GROUP}; \
    cd /sys/fs/cgroup/update.slice && grep -H "" {" ".join(LIMITS)} >> {GROUP}'
"""
# holds the lock until the planned restart has begun to wait for it
HOLD = f"until systemctl --quiet is-active {RESTART}.service; do sleep 1; done; sleep 3"


@pytest.fixture(scope="module")
def releases(built: Path) -> Iterator[Releases]:
    with published(built) as found:
        yield found


@pytest.fixture(scope="module")
def client(releases: Releases, host: Host, warm: Warm) -> Iterator[Client]:
    [image] = (releases.out / "1/qemu").glob("*.qcow2")
    with up(warm(spec_of(image, host)), host) as booted:
        booted.ask(f"mkdir -p /etc/colvert; echo SOURCE={releases.site.url} > /etc/colvert/update.conf")
        booted.healthy()
        yield Client(booted)


def test_nothing_is_known_before_the_first_check(client: Client) -> None:
    told = client.done("status")
    assert told["running"]["version"] == "1"
    assert [slot["version"] for slot in told["slots"]] == ["1", None]
    assert (told["pending"], told["failed"], told["last_check"]) == (None, [], None)


def test_a_check_finds_the_release_and_changes_nothing(client: Client, releases: Releases) -> None:
    before = client.disk()
    releases.offer("2")
    told = client.done("check")
    assert told["code"] == "available"
    assert client.disk() == before


def _older(index: Index) -> None:
    index["version"] = "0.9"


def _too_large(index: Index) -> None:
    index["parts"]["usr"]["size"] = 3 << 30


def _too_large_entry(index: Index) -> None:
    index["parts"]["uki"]["size"] = 2 << 30


def _set(**values: object) -> Callable[[Index], None]:
    return lambda index: index.update(values)


REFUSALS: Mapping[str, Callable[[Index], None]] = {
    "architecture": _set(architecture="aarch64"),
    "image-id": _set(image_id="another"),
    "channel": _set(channel="edge"),
    "expired": _set(expires=int(time.time()) - 60),
    "older": _older,
    "from-at-least": _set(from_at_least="1.5"),
    "slot-too-small": _too_large,
    "esp-full": _too_large_entry,
    "format": _set(format=2),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_a_release_that_is_not_for_this_machine_is_refused(
    client: Client, releases: Releases, code: str
) -> None:
    before = client.disk()
    url = releases.offer_at(code, changed(releases.index("2"), REFUSALS[code]))
    assert client.refused("update", "--from", url) == code
    assert client.disk() == before


def _foreign(envelope: bytes) -> bytes:
    return changed(envelope, lambda index: None, Signer(Ed25519PrivateKey.generate()))


def _tampered(envelope: bytes) -> bytes:
    whole, other = json.loads(envelope), changed(envelope, _set(channel="edge"))
    return json.dumps({**whole, "payload": json.loads(other)["payload"]}).encode()


def _unsigned(envelope: bytes) -> bytes:
    return json.dumps({**json.loads(envelope), "signatures": []}).encode()


@pytest.mark.parametrize("change", [_foreign, _tampered, _unsigned])
def test_what_no_key_of_the_ring_signed_is_refused(
    client: Client, releases: Releases, change: Callable[[bytes], bytes]
) -> None:
    before = client.disk()
    url = releases.offer_at(change.__name__, change(releases.index("2")))
    assert client.refused("update", "--from", url) == "signature"
    assert client.disk() == before


def test_what_failed_here_is_refused_unless_told_otherwise(client: Client, releases: Releases) -> None:
    record = {"version": "2", "kind": "health", "reason": "of the test", "when": 1, "attempts": 3}
    place = "/var/lib/colvert/failed/2"
    client.booted.ask(f"mkdir -p {place}")
    client.booted.guest.write(f"{place}/record.json", json.dumps(record).encode())
    assert client.refused("update") == "failed-before"
    assert client.done("status")["failed"][0]["reason"] == "of the test"
    client.booted.ask(f"rm -r {place}")


def _hang_up(handler: Handler) -> None:
    """Announces the right length, and breaks off."""
    handler.head(200, len(handler.data))


FAULTS: Mapping[str, tuple[str, Act, str]] = {
    "dropped": ("index.json", _hang_up, "network"),
    "stalled": ("index.json", updates.slow, "network"),
    "looping": (".zst", updates.loop, "network"),
    "truncated": (".zst", updates.truncated, "format"),
    "cut": (".zst", updates.cut, "format"),
    "longer": (".zst", updates.longer, "format"),
    "garbled": (".zst", updates.garbage, "format"),
}
# they are asked again, with pauses
PATIENT_FAULTS: Mapping[str, tuple[str, Act, str]] = {
    "dropped-file": (".zst", _hang_up, "network"),
    "stalled-file": (".zst", updates.slow, "network"),
}


def _small(index: Index) -> None:
    """Nothing but the deltas' bytes, so that nothing is large where everything goes wrong."""
    for part in index["parts"].values():
        deltas = [file for file in part["files"] if file["from"]]
        part["files"] = [{**file, "from": None} for file in deltas[:1]] or part["files"]


@pytest.mark.parametrize("faults", [FAULTS, pytest.param(PATIENT_FAULTS, marks=pytest.mark.long)])
def test_a_server_that_fails_changes_nothing(
    client: Client, releases: Releases, faults: Mapping[str, tuple[str, Act, str]]
) -> None:
    before, behave = client.disk(), releases.site.behave
    url = releases.offer_at(next(iter(faults)), changed(releases.index("2"), _small))
    client.booted.ask("echo STALL_SECONDS=2 >> /etc/colvert/update.conf")
    told = {}
    for name, (path, act, _) in faults.items():
        behave[path] = act
        told[name] = client.refused("update", "--from", url)
        behave.clear()
    client.booted.ask("sed -i /STALL/d /etc/colvert/update.conf")
    assert told == {name: code for name, (_, _, code) in faults.items()}
    assert client.disk() == before
    # the same server, once it is well, is what the next test updates from


def test_an_update_by_delta_is_small_and_leaves_the_running_slot_alone(
    client: Client, releases: Releases
) -> None:
    booted = client.booted
    # what this machine changed of its defaults
    booted.ask("echo of this machine > /etc/colvert-test/mine; echo data > /var/lib/data")
    hot = "for n in 3 4; do head -c 48M /dev/vda$n | sha256sum; done"
    before = booted.ask(hot)
    releases.site.reset()
    assert client.done("update")["code"] == "pending"
    # everything: index, usr image, hash tree, UKI
    assert releases.site.bytes_sent() < 100_000
    assert booted.ask(hot) == before
    assert client.entries() == ["colvert_1.efi", "colvert_2+3.efi"]
    told = client.done("status")
    assert told["pending"] == "2"
    assert [slot["version"] for slot in told["slots"]] == ["1", "2"]


def _drop_in(client: Client, unit: str, text: str) -> None:
    place = f"/run/systemd/system/{unit}.d"
    client.booted.ask(f"mkdir -p {place}")
    client.booted.guest.write(f"{place}/test.conf", text.encode())
    client.booted.ask("systemctl daemon-reload")


def _set_window(client: Client, start: int) -> None:
    """REBOOT=window, and the window, in the machine's own settings."""
    calendar = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(start))
    window = WINDOW.format(start=calendar, seconds=WINDOW_SECONDS)
    client.booted.ask("sed -i '/REBOOT/d; /WINDOW/d' /etc/colvert/update.conf")
    client.booted.guest.run("cat >> /etc/colvert/update.conf", stdin=window.encode())


def _planned(client: Client) -> int:
    """The moment of the restart that is planned; 0 where none is."""
    when = f"systemctl show --property=NextElapseUSecRealtime --value {RESTART}.timer"
    there = f"systemctl --quiet is-active {RESTART}.timer"
    return int(client.booted.ask(f'if {there}; then date --date="$({when})" +%s; else echo 0; fi'))


def test_a_wrong_line_of_the_settings_is_told_by_status(client: Client) -> None:
    ask = client.booted.ask
    client.done("cancel")
    ask("echo REBOOT=perhaps >> /etc/colvert/update.conf")
    _drop_in(client, "colvert-update.timer", SOON)
    # what starts the timer on each boot, now that there is a source; and after the call of the timer
    ask("systemctl start colvert-update-booted.service")
    wait = "until grep -q usage /var/lib/colvert/update/state.json; do sleep 1; done"
    client.booted.guest.run(wait, timeout=SETTLE_SECONDS)
    told = client.done("status")
    assert told["last_error"]["code"] == "usage"
    assert "/etc/colvert/update.conf" in told["settings_error"]
    ask("sed -i /REBOOT/d /etc/colvert/update.conf")
    assert client.entries() == ["colvert_1.efi"]


def test_the_timer_takes_a_release_and_plans_the_restart(client: Client) -> None:
    booted, ask = client.booted, client.booted.ask
    start = int(ask("date +%s")) + 24 * WINDOW_AHEAD
    _set_window(client, start)
    _drop_in(client, "colvert-update.service", TELL)
    ask("systemctl restart colvert-update.timer")
    wait = f"until systemctl --quiet is-active {RESTART}.timer; do sleep 1; done"
    booted.guest.run(wait, timeout=SETTLE_SECONDS)
    assert client.entries() == ["colvert_1.efi", "colvert_2+3.efi"]
    assert client.done("status")["pending"] == "2"
    assert start <= _planned(client) <= start + WINDOW_SECONDS
    group, *limits = ask(f"until grep -qs memory.max {GROUP}; do sleep 1; done; cat {GROUP}").splitlines()
    assert group == "0::/update.slice/colvert-update.service"
    assert dict(line.split(":", 1) for line in limits) == LIMITS


def test_a_planned_restart_follows_the_settings(client: Client) -> None:
    ask = client.booted.ask
    again = "systemctl start colvert-update.service"
    before = _planned(client)
    ask(again)
    assert _planned(client) == before
    # another window: not in the old one, and planned anew by the next check
    start = int(ask("date +%s")) + 12 * WINDOW_AHEAD
    _set_window(client, start)
    assert client.done("--automatic", "restart")["code"] == "pending"
    ask(again)
    assert start <= _planned(client) <= start + WINDOW_SECONDS
    ask("sed -i s/REBOOT=window/REBOOT=never/ /etc/colvert/update.conf")
    assert client.done("--automatic", "restart")["code"] == "pending"
    ask(again)
    assert _planned(client) == 0
    # what systemd does not take as a calendar is told
    ask("sed -i 's/REBOOT=never/REBOOT=window/; s/START=.*/START=someday/' /etc/colvert/update.conf")
    ask(again)
    assert client.done("status")["last_error"]["code"] == "usage"


def test_the_window_restarts_the_machine(client: Client) -> None:
    booted, ask = client.booted, client.booted.ask
    start = int(ask("date +%s")) + WINDOW_AHEAD
    _set_window(client, start)
    ask("systemctl start colvert-update.service")
    assert start <= _planned(client) <= start + WINDOW_SECONDS
    # another colvert-update is at work when the moment comes
    ask(f"systemd-run --quiet flock /run/colvert/update.lock sh -c '{HOLD}'")
    # its clock, and the one that it has after the restart
    ask("systemctl stop systemd-timesyncd.service")
    booted.reboot(f"timedatectl set-time @{start - WINDOW_SECONDS}")
    said = ask(f"journalctl --boot=-1 --unit={RESTART}.service --output=short-unix --no-pager --quiet")
    began = float(said.split()[0])
    assert start <= began <= start + WINDOW_SECONDS + 2, said
    ask("sed -i '/REBOOT/d; /WINDOW/d' /etc/colvert/update.conf")


def test_the_next_boot_is_the_new_version(client: Client) -> None:
    client.booted.healthy()
    assert client.version() == "2"
    assert client.entries() == ["colvert_1.efi", "colvert_2.efi"]
    assert client.booted.ask("cat /usr/share/colvert-test/version /var/lib/data") == "2\ndata"
    assert client.booted.ask("findmnt -no SOURCE /usr") == "/dev/mapper/usr"


def test_etc_keeps_what_was_changed_and_takes_new_defaults(client: Client) -> None:
    ask = client.booted.ask
    assert ask(f"cat {SETTING} /etc/colvert-test/new /etc/colvert-test/mine") == "of 2\nof 2\nof this machine"
    assert ask("test -e /etc/colvert-test/gone || echo gone") == "gone"
    told = client.done("defaults")
    assert (told["from"], told["to"]) == ("1", "2")
    found = {item["path"]: (item["change"], item["hidden"]) for item in told["defaults"]}
    ours = {path: what for path, what in found.items() if path.startswith("colvert-test/")}
    assert ours == {
        "colvert-test/setting": ("changed", False),
        "colvert-test/mine": ("changed", True),
        "colvert-test/new": ("added", False),
        "colvert-test/gone": ("removed", False),
    }


def test_a_directory_is_a_source_too_and_kexec_leaves_the_firmware_out(
    client: Client, releases: Releases
) -> None:
    """As the timer's call, which restarts at once where it is told to."""
    booted = client.booted
    releases.offer("3", deltas=False)
    booted.ask("mkdir /var/lib/three")
    client.done("download", "--into", "/var/lib/three")
    now = b"SOURCE=/var/lib/three\nREBOOT=now\nKEXEC=yes\n"
    booted.guest.run("cat >> /etc/colvert/update.conf", stdin=now)
    position, resets = booted.running.console.position(), booted.running.resets()
    booted.guest.attempt("systemctl start colvert-update.service", timeout=SETTLE_SECONDS)
    booted.running.wait_for("kexec_core: Starting new kernel|Linux version", BOOT_SECONDS, after=position)
    booted.back(position)
    booted.healthy()
    assert client.version() == "3"
    assert "colvert.entry=colvert_3+2-1.efi" in booted.ask("cat /proc/cmdline")
    assert booted.running.resets() == resets
    # the cold slot was version 1's
    assert client.entries() == ["colvert_2.efi", "colvert_3.efi"]


def test_going_back_by_hand_lasts(client: Client, releases: Releases) -> None:
    client.booted.ask("sed -i '/KEXEC/d; /REBOOT/d; /three/d' /etc/colvert/update.conf")
    client.booted.reboot("colvert-update rollback --reboot")
    client.booted.healthy()
    assert client.version() == "2"
    [failed] = client.done("status")["failed"]
    assert (failed["version"], failed["kind"]) == ("3", "rolled-back")
    # or the timer would take it again
    assert client.refused("update") == "failed-before"


def test_a_wrong_delta_only_costs_the_whole_file(client: Client, releases: Releases) -> None:
    def swap(index: Index) -> None:
        """The delta of the hash tree in the place of the UKI's."""
        uki, verity = index["parts"]["uki"]["files"], index["parts"]["verity"]["files"]
        [good] = [file for file in uki if file["from"] and file["from"]["version"] == "2"]
        [other] = [file for file in verity if file["from"] and file["from"]["version"] == "2"]
        good.update({name: other[name] for name in ("name", "size", "sha256")})

    index = changed(releases.index("3"), swap)
    url = releases.offer_at("wrong-delta", index)
    whole = next(
        file["name"]
        for file in json.loads(parse(index).content())["parts"]["uki"]["files"]
        if file["from"] is None
    )
    releases.site.reset()
    assert client.done("update", "--from", url, "--allow-failed")["code"] == "pending"
    assert releases.site.sent[whole]
    assert client.entries() == ["colvert_2.efi", "colvert_3+3.efi"]


def test_what_is_pending_can_be_cancelled(client: Client) -> None:
    client.done("cancel")
    assert client.entries() == ["colvert_2.efi"]
    told = client.done("status")
    assert told["pending"] is None
    assert sorted(slot["version"] or "" for slot in told["slots"]) == ["", "2"]


def test_the_machine_is_well_after_all_of_it(client: Client) -> None:
    client.booted.healthy()
    assert client.booted.running.problems() == ()


# test_fallback.py has one attempt of it in every run
@pytest.mark.long
def test_a_release_that_is_not_healthy_is_left_by_itself(client: Client, releases: Releases) -> None:
    booted, was = client.booted, client.version()
    releases.offer("4")
    assert client.done("update")["code"] == "pending"
    resets, position = booted.running.resets(), booted.running.console.position()
    booted.guest.attempt("systemctl reboot")
    # into it, and after each of its three attempts
    booted.running.wait_reset(resets + 4, 4 * BOOT_SECONDS)
    position = booted.running.console.position()
    booted.back(position)
    booted.settled()
    assert client.version() == was
    assert client.entries() == [f"colvert_{was}.efi", "colvert_4+0-3.efi"]
    failed = {one["version"]: one for one in client.done("status")["failed"]}
    assert (failed["4"]["kind"], failed["4"]["attempts"]) == ("health", 3)
    assert "tired" in failed["4"]["reason"]
    assert "I am tired" in booted.ask("cat /var/lib/colvert/failed/4/journal-*.txt")
    assert client.refused("update") == "failed-before"
    assert booted.running.console.problems(after=position) == ()


@pytest.mark.long
def test_a_full_boot_partition_takes_no_release_and_boots_what_it_has(client: Client) -> None:
    ask, older = client.booted.ask, ("update", "--version", "1", "--allow-older")
    # what is there of a version that is no way back would be made room of
    fill = "cd $(bootctl --print-esp-path); rm -f EFI/Linux/colvert_4*; cat /dev/zero > full || sync"
    client.booted.guest.run(fill, timeout=SETTLE_SECONDS)
    before = client.disk()
    assert client.refused(*older) == "esp-full"
    assert client.disk() == before
    client.booted.reboot()
    client.booted.healthy()
    assert (client.version(), client.entries()) == ("2", ["colvert_2.efi"])
    ask("rm $(bootctl --print-esp-path)/full")


@pytest.mark.long
def test_an_older_release_is_installed_and_boots(client: Client) -> None:
    assert client.refused("update", "--version", "1") == "older"
    assert client.done("update", "--version", "1", "--allow-older")["code"] == "pending"
    assert client.entries() == ["colvert_1+3.efi", "colvert_2+0.efi"]
    client.booted.reboot()
    client.booted.healthy()
    assert (client.version(), client.entries()) == ("1", ["colvert_1.efi", "colvert_2+0.efi"])
    assert client.booted.ask("cat /usr/share/colvert-test/version") == "1"
