"""`colvert sources`: export and verify all sources of a release."""

from __future__ import annotations

from pathlib import Path

import click

from builder.build.sources import open_sources
from builder.cli.common import Shared, opened, shared_options
from builder.cli.failures import exit_codes
from builder.rebuild.export import export_sources


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Export all sources of a release, and verify such an export."""


@cli.command()
@click.argument("target", type=click.Path(path_type=Path), metavar="DIR|FILE.tar")
@click.option("--without-wheels", is_flag=True, help="Export without the Python packages.")
@shared_options
def export(shared: Shared, target: Path, without_wheels: bool) -> None:
    """Export all inputs of a build, with the SDK and this Colvert, to a directory or tar.

    Exports of equal inputs are identical. Unpack a tar with file modes (tar -xpf).

    \b
    Examples:
      colvert sources export sources
      colvert sources export --locked release-1.2.tar
      build-image --sources sources --home /var/tmp/again     build it again, without network
    """
    with opened(shared) as session:
        made = export_sources(session, target, wheels=not without_wheels)
        session.events.message(f"{made}: build from it with build-image --sources")


@cli.command()
@click.argument("root", type=click.Path(path_type=Path), metavar="DIR")
def verify(root: Path) -> None:
    """Verify an export against its index; reports damaged, missing and unknown files.

    \b
    Examples:
      colvert sources verify sources
    """
    with exit_codes():
        index = open_sources(root).index
        click.echo(f"{len(index.items)} paths of {index.version} match {root / 'export.json'}")
