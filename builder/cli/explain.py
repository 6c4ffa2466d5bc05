"""`colvert explain PACKAGE`: which input changed."""

from __future__ import annotations

import json

import click

from builder.cli.common import Shared, opened, shared_options
from builder.packages.explain import explain


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("package")
@shared_options
def cli(shared: Shared, package: str) -> None:
    """Say what a package's key is made of and which input changed since it was last built.

    \b
    Examples:
      colvert explain zlib
      colvert explain sys-libs/glibc --json
    """
    with opened(Shared(**{**shared.__dict__, "json": False, "quiet": True})) as session:
        row, changes, inputs = explain(session.builder, session.plan.find(package))
    if shared.json:
        rows = [change.__dict__ for change in changes]
        click.echo(
            json.dumps(
                {
                    "package": row.node.cpv,
                    "why": row.why,
                    "cause": row.cause,
                    "changes": rows,
                    "inputs": dict(inputs),
                }
            )
        )
        return
    click.echo(f"{row.node.cpv}: {row.why}{': ' if row.cause else ''}{row.cause}")
    for change in changes:
        before, after = change.before[:16] or "(was not there)", change.after[:16] or "(is gone)"
        click.echo(f"  {change.name}: {before} -> {after}")
    if not changes:
        for name, value in sorted(inputs.items()):
            click.echo(f"  {name} = {value if len(value) < 64 else value[:16]}")
