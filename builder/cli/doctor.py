"""`colvert doctor`: check that this machine can build, and print the remedy for what it lacks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from builder.cli.failures import exit_codes
from builder.errors import Exit
from builder.sandbox.doctor import examine


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Home directory with the SDK and the store [COLVERT_HOME].",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def cli(home: Path | None, as_json: bool) -> None:
    """Check user namespaces, tools, disk space and the mirror; the exit code is 2 if a check fails.

    \b
    Example:
      colvert doctor
    """
    with exit_codes(as_json):
        findings = examine(home)
    if as_json:
        click.echo(json.dumps({"findings": [finding.__dict__ for finding in findings]}))
    else:
        for finding in findings:
            mark = click.style("ok  ", "green") if finding.ok else click.style("FAIL", "red")
            click.echo(f"{mark} {finding.subject}: {finding.text}")
            if finding.remedy:
                click.echo(f"     try: {finding.remedy}")
    sys.exit(Exit.OK if all(finding.ok for finding in findings) else Exit.INPUT)
