"""`colvert lock`: write colvert.lock."""

from __future__ import annotations

from pathlib import Path

import click

from builder.build.lockfile import NAME, write_lock
from builder.cli.common import Shared, opened, shared_options
from builder.rebuild.export import make_lock


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=NAME,
    show_default=True,
    help="Lock file to write.",
)
@shared_options
def cli(shared: Shared, out: Path) -> None:
    """Pin the external inputs of a build in a lock file, for --locked.

    Pinned are the SDK's Debian packages, the digests of all sources, the overlays, and the
    Python packages. Nothing is built, except the SDK if it is missing.

    \b
    Examples:
      colvert lock
      colvert lock --manifest manifests/variants/minimal.yaml --out minimal.lock
      build-image --locked     fail if any input differs
    """
    with opened(shared) as session:
        lock = make_lock(session)
        write_lock(lock, out)
        session.events.message(
            f"{out}: {len(lock.sdk.packages)} Debian packages, {len(lock.sources)} sources,"
            f" {len(lock.overlays)} overlays, {len(lock.python.packages)} Python packages"
        )
