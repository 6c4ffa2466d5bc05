"""`colvert plan`: what would be built, and why."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from builder.cli.common import Shared, opened, shared_options
from builder.packages.explain import foresee
from builder.packages.graph import as_dot, as_svg


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--graph",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw the graph to FILE.dot or FILE.svg instead.",
)
@shared_options
def cli(shared: Shared, graph: Path | None) -> None:
    """Show what would be built, and why.

    \b
    Examples:
      colvert plan
      colvert plan --json | jq '.packages[] | select(.why != "in store")'
      colvert plan --graph plan.svg
    """
    shared_quiet = Shared(**{**shared.__dict__, "json": False, "quiet": True})
    with opened(shared_quiet) as session:
        rows = foresee(session.builder)
        if graph is not None:
            dot = as_dot(session.plan)
            graph.write_bytes(as_svg(session.sdk, dot) if graph.suffix == ".svg" else dot.encode())
            return
    if shared.json:
        packages = [
            {**row.node.model_dump(mode="json"), "why": row.why, "cause": row.cause, "key": row.key}
            for row in rows
        ]
        click.echo(json.dumps({"packages": packages}))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("package", "USE", "why"):
        table.add_column(title)
    for row in rows:
        style = "" if row.why == "in store" else "yellow"
        table.add_row(
            row.node.cpv,
            " ".join(row.node.use),
            f"{row.why}{': ' if row.cause else ''}{row.cause}",
            style=style,
        )
    Console(highlight=False).print(table)
    missing = sum(row.why != "in store" for row in rows)
    click.echo(f"{len(rows)} packages, {len(rows) - missing} in the store, {missing} to build")
