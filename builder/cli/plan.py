"""`colvert plan`: packages and stages that a build would run, and why."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from builder.build.image import image_jobs
from builder.cli.common import Shared, opened, shared_options
from builder.packages.graph import as_dot, as_svg
from builder.packages.plan import Plan
from builder.pipeline.dry_run import Row, Why, dry_run
from builder.platforms import PLATFORMS


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--graph",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the dependency graph to this FILE.dot or FILE.svg instead.",
)
@shared_options
def cli(shared: Shared, graph: Path | None) -> None:
    """Show what would be built, and why: packages, then image stages.

    \b
    Examples:
      colvert plan
      colvert plan --json | jq '.packages[] | select(.why != "in store")'
      colvert plan --graph plan.svg
    """
    with opened(replace(shared, json=False, quiet=True)) as session:
        plan = session.plan
        if graph is not None:
            dot = as_dot(plan)
            graph.write_bytes(as_svg(session.sdk, dot) if graph.suffix == ".svg" else dot.encode())
            return
        rows = dry_run(session.executor, image_jobs(session, tuple(PLATFORMS.values())))
    if shared.json:
        click.echo(json.dumps(_described(plan, rows)))
    else:
        _show(plan, rows)


def _described(plan: Plan, rows: list[Row]) -> dict[str, object]:
    fates = {row.job.name: {"why": row.why, "cause": row.cause, "key": row.key} for row in rows}
    packages = [{**node.model_dump(mode="json"), **fates[node.cpv]} for node in plan.packages]
    stages = [{"stage": name, **fate} for name, fate in fates.items() if name not in plan.nodes]
    return {"packages": packages, "stages": stages}


def _show(plan: Plan, rows: list[Row]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("package or stage", "USE", "why"):
        table.add_column(title)
    for row in sorted(rows, key=lambda row: row.job.name not in plan.nodes):
        node = plan.nodes.get(row.job.name)
        style = "" if row.why is Why.STORED else "yellow"
        use = " ".join(node.use) if node else ""
        table.add_row(row.job.name, use, f"{row.why}{': ' if row.cause else ''}{row.cause}", style=style)
    Console(highlight=False).print(table)
    for what, chosen in (
        ("packages", [row for row in rows if row.job.name in plan.nodes]),
        ("image stages", [row for row in rows if row.job.name not in plan.nodes]),
    ):
        missing = sum(row.why is not Why.STORED for row in chosen)
        click.echo(f"{len(chosen)} {what}, {len(chosen) - missing} in the store, {missing} to build")
