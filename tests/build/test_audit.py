"""The default OS keeps its policy, and the audit of it would see what does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner
from elftools.elf.enums import ENUM_P_TYPE_BASE

from builder.audit.files import Tree
from builder.audit.policy import Check
from builder.build.audit import Audited, audit, audit_tree, policy_of
from builder.build.session import Session
from builder.build.tree import REPORT, TREE
from builder.cli.main import cli
from builder.packages.package import IMAGE
from builder.pipeline.entry import Entry
from builder.pipeline.key import walk
from builder.sandbox.sdk import Sdk
from tests.build.places import workplace
from tests.conftest import ROOT
from tests.releases import make

place = pytest.fixture(workplace)


@pytest.fixture(scope="module")
def audited(session: Session, packages: Mapping[str, Entry]) -> Audited:
    return audit(session)


def test_the_default_os_keeps_its_policy(audited: Audited) -> None:
    assert [
        f"{one.where or ''} {one.check}: {one.subject} {one.what}" for one in audited.verdict.findings
    ] == []


def test_everything_was_looked_at(audited: Audited) -> None:
    assert audited.binaries > 300
    assert audited.units > 10_000
    assert audited.paths > 2000
    # each kind of thing that it finds is there, but allowed: no check has gone blind
    kinds = {found.check for found, _line in audited.verdict.allowed}
    assert kinds >= {
        Check.HARDENING,
        Check.SYMBOLS,
        Check.COMPILED,
        Check.WRITABLE,
        Check.LIBRARIES,
        Check.LINKS,
    }


def test_the_command_says_so(audited: Audited) -> None:
    manifest = ["--manifest", str(ROOT / "manifests/colvert.yaml"), "--quiet"]
    said = CliRunner().invoke(cli, ["audit", *manifest])
    assert said.exit_code == 0, said.output
    assert f"0 findings, {len(audited.verdict.allowed)} allowed" in said.output
    open_to_all = 'tcp LISTEN 0 128 0.0.0.0:23 0.0.0.0:* users:(("telnetd",pid=1,fd=3))\n'
    refused = CliRunner().invoke(cli, ["audit", *manifest, "--json", "--sockets", "-"], input=open_to_all)
    assert refused.exit_code == 1, refused.output
    first = json.loads(refused.output)["findings"][0]
    assert (first["check"], first["subject"]) == ("sockets", "telnetd")


SPOILT = "usr/bin/ls"


@pytest.fixture
def spoilt(session: Session, audited: Audited, place: Path) -> Iterator[Tree]:
    """A piece of the real tree in which somebody was careless."""
    tree = make(session, "tree")
    made = session.store.checkout(tree.image.tree.part(TREE), place / "made")
    owners = json.loads(tree.path("tree", REPORT).read_text())["owners"]
    root = place / "tree"
    for name in ("usr/bin/ls", "usr/bin/cat", "usr/lib/libc.so.6", "usr/lib/ld-linux-x86-64.so.2"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(made / name, root / name)
    whole = bytearray((root / SPOILT).read_bytes())
    at = whole.index(ENUM_P_TYPE_BASE["PT_GNU_STACK"].to_bytes(4, "little"))
    whole[at + 4] |= 1
    (root / SPOILT).write_bytes(whole)
    (root / SPOILT).chmod(0o4755)
    (root / "usr/bin/cat").chmod(0o777)
    (root / "usr/lib/stray").symlink_to("nowhere")
    kept = {name: owners[name] for name, _entry in walk(root) if name in owners}
    yield Tree(root, kept, frozenset(kept.values()))


def test_carelessness_is_found(
    spoilt: Tree, session: Session, packages: Mapping[str, Entry], sdk: Sdk
) -> None:
    images = {cpv: session.store.path(packages[cpv].part(IMAGE)) for cpv in spoilt.packages}
    found = audit_tree(spoilt, images, policy_of(session), sdk_root=sdk.root).verdict.findings
    new = [(one.check, one.subject) for one in found if one.check is not Check.STALE]
    assert new == [
        (Check.HARDENING, SPOILT),
        (Check.SETUID, SPOILT),
        (Check.WRITABLE, "usr/bin/cat"),
        (Check.LINKS, "usr/lib/stray"),
        (Check.OWNERS, "usr/lib/stray"),
    ]
