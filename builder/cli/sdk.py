"""`colvert sdk`: make, show and enter the SDK."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from builder.cli.common import Shared
from builder.cli.failures import exit_codes
from builder.pipeline.events import Events
from builder.pipeline.progress import renderer
from builder.sandbox.home import open_home
from builder.sandbox.run import run_terminal
from builder.sandbox.sdk import ensure_sdk


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Home directory with the SDK and the store [COLVERT_HOME].",
)
@click.pass_context
def cli(context: click.Context, home: Path | None) -> None:
    """Create, show and enter the SDK: the Debian root in which everything is built."""
    context.obj = Shared(home=home)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show(shared: Shared, as_json: bool) -> None:
    """Print the SDK's directory and package versions; create the SDK if it is missing."""
    with exit_codes(as_json):
        view = renderer(json=False, quiet=as_json)
        try:
            sdk = ensure_sdk(open_home(shared.home), Events(view))
        finally:
            view.close()
        versions = sdk.packages()
        if as_json:
            click.echo(json.dumps({"root": str(sdk.root), "id": sdk.id, "packages": versions}))
            return
        click.echo(f"root {sdk.root}\nid   {sdk.id}")
        for name, version in versions.items():
            click.echo(f"  {name} {version}")


@cli.command()
@click.argument("words", nargs=-1)
@click.pass_obj
def enter(shared: Shared, words: tuple[str, ...]) -> None:
    """Run a command (by default a shell) in the SDK, read-only and without network."""
    with exit_codes():
        sdk = ensure_sdk(open_home(shared.home), Events())
        sys.exit(run_terminal(words or ("/bin/bash",), sandbox=sdk.sandbox()))
