"""Sockets: what a machine listens on once it is up is what the policy names, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.audit.findings import judge
from builder.audit.policy import Check, load_policy
from builder.audit.sockets import COMMAND, check_sockets
from builder.machine.credentials import ssh_credentials
from builder.machine.files import Host
from builder.machine.qemu import Forward, MachineSpec
from tests.booted import up
from tests.conftest import ROOT

pytestmark = pytest.mark.boot


def test_a_machine_listens_only_on_what_the_policy_names(image: Path, host: Host) -> None:
    spec = MachineSpec(
        image,
        memory=1024,
        cpus=2,
        forwards=(Forward(22),),
        credentials=ssh_credentials(host.key()),
        isolated=True,
    )
    with up(spec, host) as booted:
        booted.healthy()
        text = booted.ask(COMMAND)
    found = list(check_sockets(text))
    verdict = judge(found, load_policy(ROOT / "manifests/audit.yaml"), (Check.SOCKETS,))
    assert [f"{one.where or ''} {one.subject} {one.what}" for one in verdict.findings] == [], text
    # we came in by ssh, so a list without it would be a wrong list
    assert any(one.detail.startswith("tcp/22 ") for one in found)
