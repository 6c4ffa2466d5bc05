"""Machine: the console's text and the search for trouble in it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import Code, ColvertError
from builder.machine.console import PROBLEMS, Console, plain, problems

ESCAPES = st.sampled_from(
    [
        b"\x1b[0m",
        b"\x1b[1;32m",
        b"\x1b[2J",
        b"\x1b[01;01H",
        b"\x1b[?7l",
        b"\x1b[6n",
        b"\x1b]0;a title\x07",
        b"\x1b]3008;start=x\x1b\\",
        b"\x1bP+q\x1b\\",
        b"\x1b(B",
        b"\x1bc",
        b"\x1b=",
        b"\x0f",
    ]
)
WORDS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)


@given(st.binary(max_size=400))
def test_any_bytes_become_text_without_controls(raw: bytes) -> None:
    text = plain(raw)
    assert not any(ord(char) < 0x20 and char not in "\n\t" for char in text)
    assert not any(0x7F <= ord(char) < 0xA0 for char in text)
    problems(text)


@given(st.binary(max_size=400))
def test_plain_text_stays_as_it_is(raw: bytes) -> None:
    once = plain(raw)
    assert plain(once.encode()) == once


@given(st.lists(st.tuples(WORDS, ESCAPES), max_size=12))
def test_escapes_vanish_and_nothing_else(pieces: list[tuple[str, bytes]]) -> None:
    raw = b"".join(word.encode() + escape for word, escape in pieces)
    assert plain(raw) == "".join(word for word, _ in pieces)


@given(st.lists(WORDS.filter(bool), max_size=8), st.sampled_from(["\n", "\r\n", "\r\r\n", "\r"]))
def test_lines_end_one_way(lines: list[str], end: str) -> None:
    assert plain(end.join([*lines, ""]).encode()) == "\n".join([*lines, ""])


def test_a_cut_escape_does_not_hide_the_next_line() -> None:
    assert plain(b"\x1b]0;no end\nKernel panic") == "\nKernel panic"


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("kernel-panic", "[   3.1] Kernel panic - not syncing: VFS: Unable to mount root fs"),
        ("kernel-bug", "[   3.1] BUG: kernel NULL pointer dereference, address: 0000000000000000"),
        ("kernel-oops", "[   3.1] Oops: 0000 [#1] PREEMPT SMP"),
        ("kernel-trace", "[   3.1] Call Trace:"),
        ("kernel-trace", "[   3.1] WARNING: CPU: 0 PID: 1 at mm/slub.c:1 x+0x1/0x2"),
        ("kernel-stall", "rcu: INFO: rcu_preempt self-detected stall on CPU"),
        ("out-of-memory", "Out of memory: Killed process 7 (cat)"),
        ("crash", "cat[7]: segfault at 0 ip 0000 sp 0000 error 4 in libc.so.6"),
        ("verity", "device-mapper: verity: 254:3: data block 0 is corrupted"),
        ("verity", "reboot: Restarting system with command 'dm-verity device corrupted'"),
        ("file-system", "EXT4-fs error (device vda10): ext4_lookup:1"),
        ("disk", "Buffer I/O error on dev vda, logical block 0, async page read"),
        ("unit-failed", "[FAILED] Failed to start systemd-networkd.service - Network Configuration."),
        ("unit-dependency", "[DEPEND] Dependency failed for sysroot-usr.mount - /sysroot/usr."),
        ("unit-timeout", "[ TIME ] Timed out waiting for device dev-mapper-usr.device."),
        ("unit-cycle", "systemd[1]: a.service: Found ordering cycle on b.service/start"),
        ("emergency", "You are in emergency mode. After logging in, type ..."),
        ("manager", "[!!!!!!] Failed to allocate manager object."),
        ("foreign-initrd", "dracut-initqueue[300]: Warning: timeout"),
        ("firmware", 'BdsDxe: failed to load Boot0001 "UEFI Misc Device": Access Denied'),
    ],
)
def test_trouble_is_found_and_can_be_allowed(kind: str, line: str) -> None:
    text = f"all is well\n{line}\nand goes on"
    assert [(found.kind, found.line) for found in problems(text)] == [(kind, 2)]
    everything = tuple(PROBLEMS)
    assert not problems(text, allow=everything)
    assert not problems(text, allow=[".*"])
    assert problems(text, allow=["some other line"])


def test_ordinary_lines_are_no_trouble() -> None:
    text = """
BdsDxe: starting Boot0001 "Linux Boot Manager"
EFI stub: Loaded initrd from LINUX_EFI_INITRD_MEDIA_GUID device path
[    0.0] Linux version 6.12.107 (builder@colvert)
[    0.0] Kernel command line: usrhash=0 systemd.verity_usr_options=restart-on-corruption panic=10
[    2.0] device-mapper: verity: sha256 using implementation "sha256-ni"
[    2.1] EXT4-fs (vda10): mounted filesystem with ordered data mode. Quota mode: none.
[    2.2] erofs: (device dm-0): mounted with root inode @ nid 36.
[  OK  ] Reached target multi-user.target - Multi-User System.
colvert login:
"""
    assert problems(text) == ()


def test_waits_for_what_comes_later(tmp_path: Path) -> None:
    log = tmp_path / "console.log"

    def write() -> None:
        with log.open("ab", buffering=0) as stream:
            for part in (b"colv", b"ert lo\x1b[0", b"mgin: "):
                time.sleep(0.1)
                stream.write(part)

    writer = threading.Thread(target=write)
    writer.start()
    match = Console(log).wait_for(r"(\w+) login:", 10)
    writer.join()
    assert match[1] == "colvert"


def test_what_stood_there_before_does_not_count(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_bytes(b"first login:\n")
    console = Console(log)
    position = console.position()
    with pytest.raises(ColvertError) as caught:
        console.wait_for("login:", 0.3, after=position)
    assert caught.value.code is Code.BOOT_FAILED
    assert "first login:" in caught.value.detail


def test_a_dead_machine_ends_the_waiting_at_once(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_bytes(b"half a boot")
    began = time.monotonic()
    with pytest.raises(ColvertError, match="before the machine ended"):
        Console(log).wait_for("login:", 60, alive=lambda: False)
    assert time.monotonic() - began < 5
