"""`colvert digest PACKAGE`: fetch sources and write the package's Manifest."""

from __future__ import annotations

import click

from builder.build.digest import write_manifest
from builder.cli.common import Shared, opened, shared_options


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("packages", nargs=-1, required=True)
@shared_options
def cli(shared: Shared, packages: tuple[str, ...]) -> None:
    """Fetch a package's sources and write their digests to its Manifest (BLAKE2B, SHA512).

    CATEGORY/NAME covers all versions in the last overlay that has the package, with the sources of every USE
    flag; CATEGORY/NAME-VERSION covers one version. Other lines stay unchanged.

    Inspect the fetched sources before you commit the Manifest: every later build trusts it.

    \b
    Examples:
      colvert digest sys-libs/zlib
      colvert digest sys-libs/zlib-1.3.1
    """
    with opened(shared) as session:
        for package in packages:
            written = write_manifest(session, package)
            click.echo(f"wrote {written.path}" if written.changed else f"{written.path} is up to date")
