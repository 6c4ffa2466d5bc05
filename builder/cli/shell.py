"""`colvert shell PACKAGE`: enter the sandbox of a package's build."""

from __future__ import annotations

import sys
from dataclasses import replace

import click

from builder.cli.common import Shared, opened, shared_options
from builder.packages.package import Room, latest_failure
from builder.packages.portage.config import ENVIRONMENT
from builder.sandbox.run import hand_over, run_terminal


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("package")
@click.option("--fresh", is_flag=True, help="Use a new sandbox, even if there is one of a failed build.")
@click.option("-c", "--command", "text", help="Run this command instead of an interactive shell.")
@shared_options
def cli(shared: Shared, package: str, fresh: bool, text: str | None) -> None:
    """Enter the sandbox of a package: the one of its last failed build, or a new one.

    Sources are in /build/distfiles, the sysroot in /build/sysroot, the files of a failed build
    in /build/tmp; a build runs /build/scripts/build.sh.

    \b
    Examples:
      colvert shell sys-libs/zlib
      colvert shell zlib -c 'ls /build/sysroot/usr/lib'
    """
    with opened(replace(shared, quiet=True)) as session:
        node = session.plan.find(package)
        below = session.build_packages(session.plan.sysroot(node.cpv))
        sources = session.builder.sources(node)
        session.builder.fetcher.fetch_all(sources)
        stage, executor = session.builder.stage(node, sources, below), session.executor
        kept = latest_failure(executor.local, node.cpv)
        with executor.working(stage) as work:
            hand_over(work.out)
            room = Room(kept) if kept is not None and not fresh else stage.lay_out(work)
            words = ["/bin/bash", *(["-c", text] if text else ["--norc", "-i"])]
            status = run_terminal(
                words,
                sandbox=stage.sandbox(room, work.out, work.sdk, work.local),
                env=ENVIRONMENT,
                cwd="/build",
            )
    sys.exit(status)
