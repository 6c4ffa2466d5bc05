"""Audit: small trees made on the spot, in which each check finds what it must and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from builder.assembly.root import ETC
from builder.audit.binaries import Binaries, _has
from builder.audit.files import Tree, check_files, check_tmpfiles
from builder.audit.findings import Found, Verdict, judge
from builder.audit.policy import Check, Flag, load_policy
from builder.audit.sockets import NOBODY, check_sockets
from builder.errors import Code, ColvertError
from builder.pipeline.key import walk
from tests.unit.elves import BUILD_ID, hardened

PACKAGE = "sys-apps/thing-1"


def tree_of(
    place: Path,
    files: Mapping[str, bytes | str] | None = None,
    links: Mapping[str, str] | None = None,
    modes: Mapping[str, int] | None = None,
) -> Tree:
    """A tree in which one package owns everything."""
    root = place / "tree"
    (root / "usr").mkdir(parents=True)
    for name, content in (files or {}).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    for name, target in (links or {}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(target)
    for name, _entry in walk(root):
        if not (root / name).is_symlink():
            (root / name).chmod(0o755)
    for name, mode in (modes or {}).items():
        (root / name).chmod(mode)
    return Tree(root, {name: PACKAGE for name, _entry in walk(root)}, frozenset({PACKAGE}))


def told(found: Any) -> list[tuple[str, str, str]]:
    return [(one.check.value, one.subject, one.detail) for one in found]


def test_a_clean_tree_has_no_findings(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "usr/bin/tool": hardened(interpreter="/lib64/ld.so.2", needed=["libthing.so.1"]),
        "usr/lib/libthing.so.1": hardened(),
        "usr/lib/ld.so.2": hardened(),
        f"{ETC}/hosts": "127.0.0.1 localhost\n",
        "usr/lib/tmpfiles.d/x.conf": "d /var/lib/thing 0750 root root -\n# d /tmp 1777\n",
    }
    links = {"usr/lib/libthing.so": "libthing.so.1", f"{ETC}/names": "hosts", "usr/share/h": "/etc/hosts"}
    tree = tree_of(tmp_path, files, links)
    binaries = Binaries(tree)
    debug = tmp_path / "image/usr/lib/debug/.build-id" / BUILD_ID.hex()[:2] / f"{BUILD_ID.hex()[2:]}.debug"
    debug.parent.mkdir(parents=True)
    debug.touch()
    found = [
        *check_files(tree),
        *check_tmpfiles(tree),
        *binaries.check_hardening(),
        *binaries.check_libraries(),
        *binaries.check_symbols({PACKAGE: tmp_path / "image"}),
    ]
    assert found == []
    assert len(binaries.all) == 3


def test_modes_that_give_rights(tmp_path: Path) -> None:
    files = dict.fromkeys(("usr/bin/su", "usr/bin/wall", "usr/bin/both", "usr/share/open", "usr/bin/ls"), "x")
    modes = {"usr/bin/su": 0o4755, "usr/bin/wall": 0o2755, "usr/bin/both": 0o6755, "usr/share/open": 0o666}
    assert told(check_files(tree_of(tmp_path, files, modes=modes))) == [
        ("setuid", "usr/bin/both", "6755"),
        ("setuid", "usr/bin/su", "4755"),
        ("setuid", "usr/bin/wall", "2755"),
        ("world_writable", "usr/share/open", "0666"),
    ]


def test_what_tmpfiles_will_make(tmp_path: Path) -> None:
    lines = [
        "q /tmp 1777 root root 10d",
        "d! /run/a ~0777 - - -",
        "f+ /run/b :4711",
        "d /run/c 0755",
        "L /run/d",
    ]
    tree = tree_of(tmp_path, {"usr/lib/tmpfiles.d/x.conf": "\n".join(lines)})
    found = list(check_tmpfiles(tree))
    assert told(found) == [
        ("world_writable", "tmp", "1777"),
        ("world_writable", "run/a", "0777"),
        ("setuid", "run/b", "4711"),
    ]
    assert found[0].what.endswith("created by usr/lib/tmpfiles.d/x.conf:1")


def test_links_that_lead_to_nothing(tmp_path: Path) -> None:
    links = {
        "usr/lib/gone": "nowhere",
        "usr/lib/null": "/dev/null",
        f"{ETC}/mtab": "../proc/self/mounts",
        f"{ETC}/good": "../usr/lib/os-release",
        "usr/bin/round": "round",
        "usr/bin/old": "/lib/os-release",
    }
    tree = tree_of(tmp_path, {"usr/lib/os-release": "ID=x\n"}, links)
    assert told(check_files(tree)) == [
        ("links", "usr/bin/round", "/usr/bin/round"),
        ("links", "usr/lib/gone", "/usr/lib/nowhere"),
        ("links", "usr/lib/null", "/dev/null"),
        ("links", f"{ETC}/mtab", "/proc/self/mounts"),
    ]


def test_files_of_nobody(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, dict.fromkeys(("usr/a", "usr/b", "usr/c", "usr/d"), ""))
    owners = {**tree.owners, "usr/b": "rule:files", "usr/c": "sys-apps/other-1", "usr/e": PACKAGE}
    del owners["usr/a"]
    found = list(check_files(Tree(tree.path, owners, tree.packages)))
    assert told(found) == [("owners", "usr/a", ""), ("owners", "usr/c", ""), ("owners", "usr/e", "")]
    assert "sys-apps/other-1" in found[1].what
    assert "missing" in found[2].what


def test_hardening_is_told_for_each_binary(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "usr/bin/bad": hardened(kind=2, now=False),
        "usr/bin/elsewhere": hardened(run_path="/usr/lib/own:/home/me/lib:$ORIGIN/../lib/own"),
        "usr/bin/script": "#!/bin/sh\n",
        "usr/bin/small": b"\x7fELF\x01\x01" + bytes(100),
        "usr/lib/own/x.o": hardened(kind=1, now=False),
    }
    assert told(Binaries(tree_of(tmp_path, files)).check_hardening()) == [
        ("hardening", "usr/bin/bad", "pie"),
        ("hardening", "usr/bin/bad", "now"),
        ("hardening", "usr/bin/elsewhere", "no-run-path"),
        ("hardening", "usr/bin/small", "readable"),
    ]


def test_libraries_that_are_not_found(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "usr/bin/a": hardened(interpreter="/lib64/gone.so.2", needed=["libgone.so.1", "libin.so.1"]),
        "usr/bin/b": hardened(needed=["libhidden.so.1"]),
        "usr/bin/c": hardened(needed=["libhidden.so.1"], run_path="$ORIGIN/../lib/own"),
        "usr/bin/d": hardened(needed=["libconf.so.1"]),
        "usr/bin/e": hardened(dlopen=[{"soname": ["libgone.so.2", "libgone.so.1"]}]),
        "usr/bin/f": hardened(dlopen=[{"priority": "required"}]),
        "usr/lib/libin.so.1": hardened(),
        "usr/lib/own/libhidden.so.1": hardened(),
        "usr/lib/conf/libconf.so.1": hardened(),
        f"{ETC}/ld.so.conf.d/x.conf": "/usr/lib/conf\n",
    }
    assert told(Binaries(tree_of(tmp_path, files)).check_libraries()) == [
        ("libraries", "usr/bin/a", "/lib64/gone.so.2"),
        ("libraries", "usr/bin/a", "libgone.so.1"),
        ("libraries", "usr/bin/b", "libhidden.so.1"),
        ("libraries", "usr/bin/e", "libgone.so.2"),
        ("libraries", "usr/bin/f", ""),
    ]


def test_binaries_without_symbols(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"usr/bin/a": hardened()})
    assert told(Binaries(tree).check_symbols({PACKAGE: tmp_path})) == [("symbols", "usr/bin/a", "")]


def test_the_last_option_is_in_force() -> None:
    assert _has(Flag.PROTECTOR, "GNU C11 -fno-stack-protector -fstack-protector-strong")
    assert not _has(Flag.PROTECTOR, "GNU C11 -fstack-protector-strong -fno-stack-protector")
    assert not _has(Flag.PROTECTOR, "GNU C11 -fstack-protector")
    assert not _has(Flag.CET, "GNU C11 -fcf-protection=branch")
    assert not _has(Flag.CLASH, "GNU C11")


# the sockets of a machine

SOCKETS = """\
udp   UNCONN 0      0      127.0.0.53%lo:53        0.0.0.0:*    users:(("systemd-resolve",pid=1,fd=1))
tcp   LISTEN 0      4096               *:22          *:*    users:(("sshd",pid=2,fd=7),("systemd",pid=1,fd=3))
tcp   LISTEN 0      4096            [::]:111          [::]:*
"""


def test_sockets_are_told_with_their_processes() -> None:
    assert told(check_sockets(SOCKETS)) == [
        ("sockets", "systemd-resolve", "udp/53 127.0.0.53%lo"),
        ("sockets", "sshd", "tcp/22 *"),
        ("sockets", "systemd", "tcp/22 *"),
        ("sockets", NOBODY, "tcp/111 ::"),
    ]
    assert list(check_sockets("")) == []


def test_what_is_no_list_of_sockets_is_refused() -> None:
    with pytest.raises(ColvertError, match="line 1"):
        list(check_sockets("bash: ss: command not found\n"))


# the judgement

WRONG = Found(Check.SETUID, "usr/bin/su", "4755", "is setuid", PACKAGE)


def judged(place: Path, policy: str, *found: Found, looked: tuple[Check, ...] = tuple(Check)) -> Verdict:
    path = place / "audit.yaml"
    path.write_text(policy)
    return judge(found, load_policy(path), looked)


def test_what_no_line_allows_is_a_finding_with_the_line_that_would(tmp_path: Path) -> None:
    verdict = judged(tmp_path, "version: 1\n", WRONG)
    [finding] = verdict.findings
    assert (finding.subject, finding.owner) == ("usr/bin/su", PACKAGE)
    assert finding.why
    check, _, line = finding.allow.partition(": ")
    text = yaml.safe_dump({check: yaml.safe_load(line.replace("…", "because it must be"))})
    assert judged(tmp_path, text, WRONG).findings == ()
    with pytest.raises(ColvertError) as caught:
        verdict.refuse()
    assert caught.value.code is Code.AUDIT_FAILED
    assert caught.value.exit == 1


def test_a_line_allows_what_it_says_and_no_more(tmp_path: Path) -> None:
    line = "setuid: [{files: [usr/bin/s*], mode: 4755, reason: for the test}]\n"
    verdict = judged(tmp_path, line, WRONG)
    assert verdict.findings == ()
    [(found, allowance)] = verdict.allowed
    assert (found, allowance.reason) == (WRONG, "for the test")
    other = Found(Check.SETUID, "usr/bin/su", "6755", "is setuid and setgid")
    elsewhere = Found(Check.WRITABLE, "usr/bin/su", "4755", "is writable")
    assert [one.check for one in judged(tmp_path, line, WRONG, other, elsewhere).findings] == [
        Check.SETUID,
        Check.WRITABLE,
    ]


def test_a_line_that_nothing_needs_is_a_finding_at_its_place(tmp_path: Path) -> None:
    text = "setuid:\n  - files: [usr/bin/su, usr/bin/gone]\n    mode: 4755\n    reason: for the test\n"
    [finding] = judged(tmp_path, text, WRONG).findings
    assert finding.check is Check.STALE
    assert finding.subject == "usr/bin/gone"
    assert finding.where is not None
    assert (finding.where.line, finding.where.column) == (2, 5)
    # a check that did not look says nothing about its lines
    assert judged(tmp_path, text, looked=(Check.SOCKETS,)).findings == ()


def test_findings_are_whole_in_json(tmp_path: Path) -> None:
    from builder.cli.audit import _as_dict

    text = "links: [{files: [usr/x], to: [/y], reason: for the test}]\n"
    whole = json.loads(json.dumps(_as_dict(judged(tmp_path, text, WRONG), {"paths": 1})))
    assert [one["check"] for one in whole["findings"]] == ["setuid", "stale"]
    assert whole["findings"][0]["allow"].startswith("setuid: - {files: [usr/bin/su]")
    assert whole["findings"][1]["where"]["line"] == 1
