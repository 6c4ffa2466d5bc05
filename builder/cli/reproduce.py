"""`colvert reproduce`: build twice under varied conditions and compare all outputs."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from builder.build.targets import choose
from builder.cli.common import Shared, opened, shared_options
from builder.errors import Exit
from builder.rebuild.reproduce import STAGES, Report, Wish, report_json, reproduce


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--package",
    "packages",
    multiple=True,
    metavar="ATOM",
    help="Compile only this package again; can be repeated.",
)
@click.option(
    "-t",
    "--target",
    "targets",
    multiple=True,
    metavar="PLATFORM",
    help="Platform, or `all`; can be repeated [qemu; with --package: none].",
)
@click.option(
    "--from",
    "first_stage",
    type=click.Choice(STAGES),
    default=STAGES[0],
    show_default=True,
    help="First stage to build again; earlier stages come from the store.",
)
@click.option(
    "--work", type=click.Path(path_type=Path), help="Directory of the second build [memory, or the home]."
)
@click.option("--no-diffoscope", is_flag=True, help="Do not run diffoscope on differences.")
@shared_options
def cli(
    shared: Shared,
    packages: tuple[str, ...],
    targets: tuple[str, ...],
    first_stage: str,
    work: Path | None,
    no_diffoscope: bool,
) -> None:
    """Build twice under varied conditions and compare every output of every stage.

    The first build is an ordinary one, which uses the store. The second runs as another
    user, in another directory, with another time zone, locale, umask, core count and directory order, and an
    empty store; the SDK is shared. The report lists the varied conditions and the outputs not built again.
    The exit code is 1 if an output differs.

    \b
    Examples:
      colvert reproduce                       everything: as long as a first build
      colvert reproduce --from tree           packages from the store, the images again
      colvert reproduce --package zlib --package lz4
      colvert reproduce --from tree --target all --json
    """
    wanted = targets or (() if packages else ("qemu",))
    choose(wanted)
    wish = Wish(packages or None, wanted, first_stage, work)
    view = replace(shared, json=False, quiet=shared.quiet or shared.json)
    with opened(view) as session:
        report = reproduce(session, wish, diffoscope=not no_diffoscope)
    if shared.json:
        click.echo(report_json(report))
    else:
        _print(report)
    if not report.same:
        raise SystemExit(Exit.BUILD)


def _print(report: Report) -> None:
    # a log has no width: nothing is cut there
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 240)
    varied = Table(box=None, pad_edge=False)
    for title in ("condition", "first", "second", "applies to"):
        varied.add_column(title)
    for item in report.circumstances:
        cells = (item.name, item.first, item.second, item.reaches if item.varied else "NOT VARIED")
        varied.add_row(*cells, style="" if item.varied else "yellow")
    console.print(varied, "")
    table = Table(box=None, pad_edge=False)
    for title in ("stage", "output", "files", "SHA-256", ""):
        table.add_column(title)
    for output in report.outputs:
        verdict = "same" if output.same else "DIFFERENT"
        row = (output.stage, output.label, str(output.files), output.first[:16], verdict)
        table.add_row(*row, style="" if output.same else "red")
    console.print(table)
    _print_differences(report)
    if report.not_rebuilt:
        click.echo(f"verified in the store, not built again: {len(report.not_rebuilt)} outputs")
    for name in report.not_compared:
        click.echo(f"not compared: {name} is no longer in the store of the first build")
    different = sum(not output.same for output in report.outputs)
    click.echo(f"{len(report.outputs)} outputs compared, {different} differ")


def _print_differences(report: Report) -> None:
    for output in report.outputs:
        if output.same:
            continue
        click.echo(f"\n{output.stage} {output.label}:")
        if output.inherited:
            click.echo(f"  inputs differ: {', '.join(output.inherited)}")
        for line in (*output.differences, *output.explained.splitlines()):
            click.echo(f"  {line}")
