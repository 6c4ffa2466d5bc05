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
    help="The public halves of the project's keys: a directory, or a file.",
)
@click.option(
    "--home", type=click.Path(path_type=Path), help="Where the SDK and the store are [COLVERT_HOME]."
)
@click.option("-q", "--quiet", is_flag=True, help="Say only what was asked for.")
def cli(
    place: Path, signatures: tuple[Path, ...], trust: tuple[Path, ...], home: Path | None, quiet: bool
) -> None:
    """Put SIGNATURES into the release in DIR, and assemble its images again.

    Signatures of the boot first; then DIR/request.json waits for those of the indexes. May be
    run again at any time, also without signatures: it goes on where it was.

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
    click.echo(f"{place / REQUEST} waits for")
    for line in outcome.lines:
        click.echo(f"  {line}")
