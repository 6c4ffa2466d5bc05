"""`colvert build`, also known as `build-image`."""

from __future__ import annotations

from pathlib import Path

import click

from builder.build.image import build_images
from builder.build.session import mending
from builder.build.targets import choose
from builder.cli.common import Shared, opened, shared_options


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-t",
    "--target",
    "targets",
    multiple=True,
    default=("qemu",),
    show_default=True,
    metavar="PLATFORM",
    help="Platform, or `all`; can be repeated.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("out"),
    show_default=True,
    help="Output directory; a build writes OUT/VERSION/.",
)
@click.option(
    "--deltas-from",
    "deltas_from",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Make deltas from the release or releases in DIR; can be repeated.",
)
@click.option(
    "--trace", type=click.Path(path_type=Path), help="Write a Chrome trace of the build to this file."
)
@click.option(
    "--package",
    "packages",
    multiple=True,
    metavar="ATOM",
    help="Build only this package and its dependencies; can be repeated.",
)
@shared_options
def cli(
    shared: Shared,
    targets: tuple[str, ...],
    out: Path,
    deltas_from: tuple[Path, ...],
    trace: Path | None,
    packages: tuple[str, ...],
) -> None:
    """Build an operating system's images.

    \b
    Examples:
      build-image --target qemu
      build-image --target ec2 --target vmware
      build-image --target all
      build-image --deltas-from out
      build-image --manifest manifests/variants/minimal.yaml --json
      build-image --package sys-libs/zlib
    """
    # before anything is opened: a typing error costs nothing
    choose(targets)
    with opened(shared, trace=trace) as session:
        if packages:
            wanted = [session.plan.find(name).cpv for name in packages]
            mending(session.events, lambda: session.build_packages(wanted), session.forget)
        else:
            place = out.absolute()
            mending(
                session.events, lambda: build_images(session, targets, place, deltas_from), session.forget
            )
