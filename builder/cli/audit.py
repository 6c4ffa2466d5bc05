"""`colvert audit`: check an image against its policy."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TextIO

import click
from rich.console import Console
from rich.text import Text

from builder.audit.findings import Verdict, judge
from builder.audit.policy import Check
from builder.audit.sockets import check_sockets
from builder.build.audit import audit, policy_of
from builder.cli.common import Shared, opened, shared_options
from builder.errors import Exit


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--sockets",
    type=click.File("r"),
    metavar="FILE",
    help="Check only the listening sockets: output of `ss -H -lntup` on a machine (- for standard input).",
)
@click.option("--allowed", is_flag=True, help="Also show allowed findings, with their reasons.")
@shared_options
def cli(shared: Shared, sockets: TextIO | None, allowed: bool) -> None:
    """Check an image against its policy: hardening, setuid, world-writable paths, libraries,
    links, owners.

    The policy is the file set as `audit` in the manifest; a policy line that allows nothing is also a
    finding. The exit code is 1 if there are findings.

    \b
    Examples:
      colvert audit
      colvert audit --manifest manifests/variants/minimal.yaml --allowed
      colvert audit --json | jq '.findings[] | select(.check == "setuid")'
      ssh root@machine ss -H -lntup | colvert audit --sockets -
    """
    with opened(replace(shared, json=False, quiet=shared.quiet or shared.json)) as session:
        if sockets is not None:
            verdict = judge(check_sockets(sockets.read()), policy_of(session), (Check.SOCKETS,))
            looked = {"sockets": len(verdict.findings) + len(verdict.allowed)}
        else:
            done = audit(session)
            verdict = done.verdict
            looked = {"paths": done.paths, "binaries": done.binaries, "compiled_files": done.units}
    if shared.json:
        click.echo(json.dumps(_as_dict(verdict, looked)))
        raise SystemExit(Exit.BUILD if verdict.findings else Exit.OK)
    _show(verdict, allowed)
    counts = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in looked.items())
    click.echo(f"{counts}: {len(verdict.findings)} findings, {len(verdict.allowed)} allowed")
    verdict.refuse()


def _as_dict(verdict: Verdict, looked: dict[str, int]) -> dict[str, object]:
    findings = [
        {
            "check": one.check,
            "subject": one.subject,
            "what": one.what,
            "why": one.why,
            "owner": one.owner or None,
            "allow": one.allow or None,
            "where": {"file": one.where.file, "line": one.where.line, "column": one.where.column}
            if one.where
            else None,
        }
        for one in verdict.findings
    ]
    allowed = [
        {
            "check": one.check,
            "subject": one.subject,
            "detail": one.detail,
            "reason": line.reason,
            "where": str(line.where),
        }
        for one, line in verdict.allowed
    ]
    return {"kind": "audit", "looked": looked, "findings": findings, "allowed": allowed}


def _show(verdict: Verdict, allowed: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if allowed:
        for found, line in verdict.allowed:
            console.print(Text(f"{found.check}: {found.subject} {found.what}"))
            console.print(Text(f"  allowed: {line.reason} ({line.where})", "dim"))
    for one in verdict.findings:
        text = Text(f"{one.where}: " if one.where else "")
        text.append(f"{one.check}: ", "bold red")
        text.append(f"{one.subject} " if one.check is not Check.STALE else "")
        text.append(one.what)
        console.print(text)
        console.print(Text(f"  because {one.why}", "dim"))
        if one.owner:
            console.print(Text(f"  owner: {one.owner}", "dim"))
        if one.allow:
            console.print(Text(f"  to allow it:  {one.allow}", "cyan"))
