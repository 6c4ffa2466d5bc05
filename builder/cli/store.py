"""`colvert store`: size, list, verify, prune."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import click

from builder.cli.failures import exit_codes
from builder.errors import ColvertError, Exit, printable
from builder.pipeline.store import Store
from builder.sandbox.home import open_home

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
SPANS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def _size(_c: click.Context, _p: click.Parameter, text: str | None) -> int | None:
    hit = re.fullmatch(r"(\d+)([KMGT]?)", text or "0")
    if text is None:
        return None
    if hit is None:
        raise click.BadParameter(f"{text}: a number with K, M, G or T is wanted")
    return int(hit[1]) * UNITS[hit[2]]


def _span(_c: click.Context, _p: click.Parameter, text: str | None) -> float | None:
    hit = re.fullmatch(r"(\d+)([smhdw])", text or "0s")
    if text is None:
        return None
    if hit is None:
        raise click.BadParameter(f"{text}: a number with s, m, h, d or w is wanted")
    return float(int(hit[1]) * SPANS[hit[2]])


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--home", type=click.Path(path_type=Path), help="Where the store is [COLVERT_HOME].")
@click.pass_context
def cli(context: click.Context, home: Path | None) -> None:
    """Look after the store; everything here is safe while builds run."""
    with exit_codes():
        context.obj = Store(open_home(home).store)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
@click.pass_obj
def size(store: Store, as_json: bool) -> None:
    """Print how much the store holds, by stage."""
    sums: dict[str, tuple[int, int]] = {}
    for entry in store.entries():
        count, total = sums.get(entry.record.stage, (0, 0))
        sums[entry.record.stage] = (count + 1, total + entry.record.size)
    if as_json:
        click.echo(
            json.dumps({stage: {"entries": count, "bytes": total} for stage, (count, total) in sums.items()})
        )
        return
    for stage, (count, total) in sorted(sums.items()):
        click.echo(f"{stage:12} {count:6} entries {total / (1 << 20):10.1f} MiB")


@cli.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_entries(store: Store, as_json: bool) -> None:
    """List the entries."""
    for entry in store.entries():
        record = entry.record
        if as_json:
            click.echo(record.model_dump_json())
        else:
            click.echo(
                f"{record.key[:12]} {record.stage:10} {record.size / (1 << 20):9.1f} MiB  {record.label}"
            )


@cli.command()
@click.pass_obj
def verify(store: Store) -> None:
    """Compare every entry with its digest; damaged ones are set aside, and exit is 1."""
    bad = 0
    for entry in store.entries():
        try:
            store.check(entry.artifact)
        except ColvertError as error:
            bad += 1
            click.echo(printable(error.what), err=True)
    click.echo(f"{bad} damaged" if bad else "all entries match their digests")
    if bad:
        raise SystemExit(Exit.BUILD)


@cli.command()
@click.option("--age", callback=_span, help="Remove what was not used for this long (e.g. 14d).")
@click.option("--size", "limit", callback=_size, help="Keep at most this much (e.g. 20G), the last used.")
@click.pass_obj
def prune(store: Store, age: float | None, limit: int | None) -> None:
    """Remove entries by age and size; what a running build uses stays."""
    gone = store.prune(older_than=time.time() - age if age is not None else 0.0, larger_than=limit)
    click.echo(f"removed {len(gone)} entries, {sum(record.size for record in gone) / (1 << 20):.1f} MiB")
