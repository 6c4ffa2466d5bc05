"""`colvert digest PACKAGE`: fetch sources and write the package's Manifest."""

from __future__ import annotations

import click

from builder.build.digest import write_manifest
from builder.cli.common import Shared, opened, shared_options


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("packages", nargs=-1, required=True)
@shared_options
def cli(shared: Shared, packages: tuple[str, ...]) -> None:
    """Fetch a package's sources, trusting what comes, and write its Manifest (BLAKE2B, SHA512).

    Look at what it fetched before you commit the result: every later build trusts it.

    \b
    Example:
      colvert digest sys-libs/zlib
    """
    with opened(shared) as session:
        for package in packages:
            path = write_manifest(session, package)
            click.echo(f"wrote {path}")
