"""`colvert manifest`: show, check and describe manifests."""

from __future__ import annotations

import json
from pathlib import Path

import click

from builder.build.session import DEFAULT_MANIFEST
from builder.build.targets import MODELS, check_settings, read_settings
from builder.cli.common import Shared, shared_options
from builder.cli.failures import exit_codes
from builder.errors import ColvertError, raise_all
from builder.manifest.load import LoadedManifest, load
from builder.manifest.schema import schema_json
from builder.manifest.show import show_json, show_yaml


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Show, check and describe manifests, without building or fetching."""


@cli.command()
@shared_options
def show(shared: Shared) -> None:
    """Print the merged manifest, with the origin (file and line) of each value.

    \b
    Examples:
      colvert manifest show
      colvert manifest show --manifest manifests/variants/minimal.yaml
      colvert manifest show --json --set usr.compression=lz4
    """
    loaded = load(shared.manifest or DEFAULT_MANIFEST, overrides=shared.overrides)
    write = show_json if shared.json else show_yaml
    click.echo(write(loaded, read_settings(loaded)), nl=False)


@cli.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@shared_options
def check(shared: Shared, files: tuple[Path, ...]) -> None:
    """Check manifests and their includes, and report all errors; the exit code is 2 if there are any.

    \b
    Examples:
      colvert manifest check
      colvert manifest check manifests/variants/*.yaml
    """
    good: list[LoadedManifest] = []
    errors: list[ColvertError] = []
    for path in files or (shared.manifest or DEFAULT_MANIFEST,):
        try:
            loaded = load(path, overrides=shared.overrides)
            check_settings(loaded)
            good.append(loaded)
        except ColvertError as error:
            errors.append(error)
    if not shared.json and not shared.quiet:
        for loaded in good:
            click.echo(f"{loaded.path}: {loaded.manifest.id} {loaded.version}, no errors")
    raise_all(errors)
    if shared.json:
        rows = [
            {"file": str(item.path), "id": item.manifest.id, "version": item.version, "files": item.files}
            for item in good
        ]
        click.echo(json.dumps({"manifests": rows}))


@cli.command()
def schema() -> None:
    """Print the JSON Schema of manifests, for editors.

    \b
    Example:
      colvert manifest schema > manifests/schema.json
    """
    with exit_codes():
        click.echo(schema_json(MODELS), nl=False)
