"""`colvert attach`: put signatures into a release."""

from __future__ import annotations

from pathlib import Path

import click

from builder.build.attach import assembler
from builder.build.session import Request, Session, mending, open_session
from builder.cli.failures import exit_codes
from builder.pipeline.events import Events
from builder.pipeline.progress import renderer
from builder.signing.attach import Outcome, attach
from builder.signing.phases import Build, read_build
from builder.signing.trust import read_trust
from builder.updates.contents import FILE, REQUEST
from builder.updates.keys import DEVELOPMENT, development_key


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
        root = read_trust(trust)
        view = renderer(json=False, quiet=quiet)
        events = Events(view)

        def opened(build: Build) -> Session:
            pinned = {**build.overrides, "version": build.version, "epoch": str(build.created)}
            request = Request(Path(build.manifest), home, overrides=pinned, state=Path(build.state))
            return open_session(request, events)

        build = read_build(place)
        own = development_key(Path(build.state)) if build.keys.release == DEVELOPMENT else None
        try:
            work = assembler(opened, place.absolute())
            mending(events, lambda: show(place, attach(place, signatures, root, work, own)))
        finally:
            view.close()


def show(place: Path, outcome: Outcome) -> None:
    """Say where the release stands."""
    missing = outcome.missing
    if not missing:
        click.echo(f"{place / FILE}: signed")
        return
    click.echo(f"{place / REQUEST} waits for")
    for line in missing:
        click.echo(f"  {line}")
