"""`colvert explain PACKAGE|STAGE`: inputs of a key, and which of them changed."""

from __future__ import annotations

import json
from dataclasses import replace

import click

from builder.build.image import image_jobs
from builder.cli.common import Shared, opened, shared_options
from builder.pipeline.dry_run import Row, compare, dry_run
from builder.platforms import PLATFORMS


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name", metavar="PACKAGE|STAGE")
@shared_options
def cli(shared: Shared, name: str) -> None:
    """Show the inputs of a package or an image stage, and which of them changed.

    \b
    Examples:
      colvert explain zlib
      colvert explain sys-libs/glibc --json
      colvert explain tree
      colvert explain image:qemu
    """
    with opened(replace(shared, json=False, quiet=True)) as session:
        jobs = image_jobs(session, tuple(PLATFORMS.values()))
        wanted = name if name in {job.name for job in jobs} else session.plan.find(name).cpv
        row = next(row for row in dry_run(session.executor, jobs) if row.job.name == wanted)
    if shared.json:
        click.echo(json.dumps(_described(row)))
    else:
        _show(row)


def _described(row: Row) -> dict[str, object]:
    changes = [change.__dict__ for change in compare(row.before, row.inputs)] if row.key else []
    return {
        "package": row.job.name,
        "why": row.why,
        "cause": row.cause,
        "changes": changes,
        "inputs": dict(row.inputs or row.before),
    }


def _show(row: Row) -> None:
    click.echo(f"{row.job.name}: {row.why}{': ' if row.cause else ''}{row.cause}")
    changes = compare(row.before, row.inputs) if row.before and row.key else []
    for change in changes:
        before, after = change.before[:16] or "(new)", change.after[:16] or "(removed)"
        click.echo(f"  {change.name}: {before} -> {after}")
    if not changes:
        for name, value in sorted((row.inputs or row.before).items()):
            click.echo(f"  {name} = {value if len(value) < 64 else value[:16]}")
