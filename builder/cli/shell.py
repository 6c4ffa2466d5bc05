"""`colvert shell PACKAGE`: enter the sandbox in which a package is built."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from builder.cli.common import Shared, opened, shared_options
from builder.packages.builder import Room
from builder.packages.portage.config import ENVIRONMENT
from builder.sandbox.run import hand_over, run_terminal


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("package")
@click.option("--fresh", is_flag=True, help="A new sandbox, even if a failed build was left.")
@click.option("-c", "--command", "text", help="Run this instead of an interactive shell.")
@shared_options
def cli(shared: Shared, package: str, fresh: bool, text: str | None) -> None:
    """Enter the sandbox of a package, as a failed build left it or new.

    The sources are in /build/distfiles, the sysroot in /build/sysroot, a failed build's work
    in /build/tmp; /build/scripts/build.sh is what a build runs.

    \b
    Examples:
      colvert shell sys-libs/zlib
      colvert shell zlib -c 'ls /build/sysroot/usr/lib'
    """
    with opened(Shared(**{**shared.__dict__, "quiet": True})) as session:
        node = session.plan.find(package)
        kept = session.home.root / "failed" / node.category / node.pf
        with session.executor.store.workdir() as scratch:
            out = hand_over(scratch / "out")
            if kept.is_dir() and not fresh:
                room = Room(kept)
            else:
                below = session.build_packages(session.plan.sysroot(node.cpv))
                session.builder.fetcher.fetch_all(session.builder.sources(node))
                room = session.builder.furnish(
                    scratch, node, {cpv: below[cpv] for cpv in session.plan.sysroot(node.cpv)}
                )
            words = ["/bin/bash", *(["-c", text] if text else ["--norc", "-i"])]
            status = run_terminal(
                words,
                sandbox=session.builder.sandbox(room, Path(out)),
                env=ENVIRONMENT,
                cwd="/build",
            )
    sys.exit(status)
