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
        raise click.BadParameter(f"{text}: number with K, M, G or T expected")
    return int(hit[1]) * UNITS[hit[2]]


def _span(_c: click.Context, _p: click.Parameter, text: str | None) -> float | None:
    hit = re.fullmatch(r"(\d+)([smhdw])", text or "0s")
    if text is None:
        return None
    if hit is None:
        raise click.BadParameter(f"{text}: number with s, m, h, d or w expected")
    return float(int(hit[1]) * SPANS[hit[2]])


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--home", type=click.Path(path_type=Path), help="Home directory with the store [COLVERT_HOME].")
@click.pass_context
def cli(context: click.Context, home: Path | None) -> None:
    """Inspect, verify and prune the store; safe while builds run."""
    with exit_codes():
        context.obj = Store(open_home(home).store)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def size(store: Store, as_json: bool) -> None:
    """Print the size of the store, by stage."""
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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
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
    """Verify the digest of every entry; damaged ones are set aside, and the exit code is 1."""
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
@click.option("--age", callback=_span, help="Remove entries not used for this long (e.g. 14d).")
@click.option(
    "--size",
    "limit",
    callback=_size,
    help="Maximum size (e.g. 20G); the least recently used entries are removed.",
)
@click.pass_obj
def prune(store: Store, age: float | None, limit: int | None) -> None:
    """Remove entries by age and size; entries in use by a build stay."""
    gone = store.prune(older_than=time.time() - age if age is not None else 0.0, larger_than=limit)
    click.echo(f"removed {len(gone)} entries, {sum(record.size for record in gone) / (1 << 20):.1f} MiB")
