"""`colvert diff A B`: differences between two releases."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from builder.build.image import make_image
from builder.build.inventory import stored_inventory
from builder.cli.common import Shared, opened, shared_options
from builder.describe.compare import Change, Difference, Section, compare
from builder.describe.inventory import FILE, Inventory, read_inventory
from builder.errors import Code, ColvertError

STYLES = {"added": "green", "removed": "red", "changed": "yellow"}
SIGNS = {"added": "+", "removed": "-", "changed": "~"}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option(
    "--only",
    "sections",
    multiple=True,
    type=click.Choice([section.value for section in Section]),
    help="Show only this section; can be repeated.",
)
@shared_options
def cli(shared: Shared, a: Path, b: Path, sections: tuple[str, ...]) -> None:
    """Compare two releases: packages, files, sizes, kernel, units, privileges, licences, settings.

    A and B are output directories (OUT/VERSION), manifests (which are built as far as necessary),
    or trees of the store.

    \b
    Examples:
      colvert diff out/1.0.0 out/1.1.0
      colvert diff out/1.0.0 manifests/colvert.yaml --only packages --only licences
      colvert diff manifests/colvert.yaml manifests/variants/minimal.yaml
      colvert diff out/1.0.0 out/1.1.0 --json | jq '.sections.privileges'
    """
    if shared.manifest is not None:
        raise ColvertError(
            Code.USAGE,
            "--manifest cannot be combined with colvert diff",
            hint="pass both manifests as arguments: colvert diff A B",
        )
    found = compare(_inventory(shared, a), _inventory(shared, b))
    if sections:
        found = replace(
            found, sections={one: found.sections[one] for one in found.sections if one in sections}
        )
    if shared.json:
        click.echo(json.dumps(_as_dict(found)))
    else:
        _show(found)


def _inventory(shared: Shared, path: Path) -> Inventory:
    """The inventory of a release, or of what a manifest makes."""
    stored = stored_inventory(path)
    if stored is not None:
        return stored
    quiet = shared.quiet or shared.json
    with opened(replace(shared, json=False, quiet=quiet, manifest=path)) as session:
        made = make_image(session, ["inventory"])["inventory"]
        return read_inventory(session.store.path(made.artifact) / FILE)


def _as_dict(found: Difference) -> dict[str, object]:
    sections = {
        section.value.replace(" ", "_"): [
            {"name": one.name, "kind": one.kind, "before": one.before, "after": one.after} for one in changes
        ]
        for section, changes in found.sections.items()
    }
    return {"kind": "diff", "before": found.before, "after": found.after, "sections": sections}


def _show(found: Difference) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(f"{found.before} -> {found.after}", "bold"))
    for section, changes in found.sections.items():
        console.print(Text(f"\n{section.value} ({len(changes)})", "bold"))
        if console.is_terminal:
            console.print(_table(section, changes))
            continue
        # a line for each, of any length, for other programs to read
        for one in changes:
            click.echo(f"{SIGNS[one.kind]} {one.name}  {_words(section, one)}".rstrip())
    if not found.sections:
        click.echo("no difference")


def _table(section: Section, changes: tuple[Change, ...]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for _column in range(3):
        table.add_column(overflow="fold")
    for one in changes:
        table.add_row(Text(SIGNS[one.kind], STYLES[one.kind]), Text(one.name), Text(_words(section, one)))
    return table


def _words(section: Section, one: Change) -> str:
    if section is Section.SIZES and one.before and one.after:
        before, after = int(one.before), int(one.after)
        return f"{before / 2**20:.1f} -> {after / 2**20:.1f} MiB ({after - before:+} bytes)"
    if one.kind == "changed":
        return f"{one.before or '(none)'} -> {one.after or '(none)'}"
    text = one.after if one.before is None else one.before
    return "" if section is Section.COMMAND_LINE else text or ""
