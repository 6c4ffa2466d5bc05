"""`colvert attach`: put signatures into a release."""

from __future__ import annotations

from pathlib import Path

import click

from builder.build.attach import attach
from builder.cli.failures import exit_codes
from builder.pipeline.events import Events
from builder.pipeline.progress import renderer
from builder.signing.attach import Done, Missing
from builder.signing.trust import read_trust
from builder.updates.contents import FILE, REQUEST


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("place", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.argument("signatures", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--trust",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Trust root: a directory of the project's public keys, or a file; can be repeated.",
)
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Home directory with the SDK and the store [COLVERT_HOME].",
)
@click.option("-q", "--quiet", is_flag=True, help="Print only results and errors.")
def cli(
    place: Path, signatures: tuple[Path, ...], trust: tuple[Path, ...], home: Path | None, quiet: bool
) -> None:
    """Attach SIGNATURES to the release in DIR, and assemble its images again.

    Boot signatures come first; then DIR/request.json requests those of the indexes. The command can be
    repeated at any time, also without signatures, and continues where it stopped.

    \b
    Examples:
      colvert attach out/1.0.0 signatures.json --trust keys
      colvert attach out/1.0.0 alice.json bob.json --trust keys
    """
    with exit_codes():
        view = renderer(json=False, quiet=quiet)
        try:
            outcome = attach(place, signatures, read_trust(trust), home, Events(view))
        finally:
            view.close()
        show(place, outcome)


def show(place: Path, outcome: Missing | Done) -> None:
    """Print where the release stands."""
    if isinstance(outcome, Done):
        click.echo(f"{place / FILE}: signed")
        return
    click.echo(f"{place / REQUEST} requires")
    for line in outcome.lines:
        click.echo(f"  {line}")
