"""`colvert targets`: list the platforms."""

from __future__ import annotations

import json

import click

from builder.platforms import PLATFORMS


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def cli(as_json: bool) -> None:
    """List the platforms for `--target`."""
    if as_json:
        rows = [
            {"name": item.name, "description": item.description, "outputs": list(item.outputs)}
            for item in PLATFORMS.values()
        ]
        click.echo(json.dumps({"targets": rows}))
        return
    for item in PLATFORMS.values():
        click.echo(f"{item.name:12} {item.description}")
