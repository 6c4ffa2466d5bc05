"""`colvert keys`: create, show, rotate and revoke a project's keys."""

from __future__ import annotations

import json
from pathlib import Path

import click

from builder.cli.failures import exit_codes
from builder.signing import project_keys, rotation
from builder.signing.authenticode import digest_program
from builder.signing.project_keys import CERTIFICATES, ProjectKeys, utc_now
from builder.signing.signature_list import Signature

_DIRECTORY = click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Create, show, rotate and revoke the keys of a project."""


@cli.command()
@_DIRECTORY
@click.option("--name", help="Name in the certificates [the directory's name].")
def create(directory: Path, name: str | None) -> None:
    """Create a set of keys in DIRECTORY, which must not exist."""
    with exit_codes():
        project_keys.create(directory, directory.absolute().name if name is None else name, utc_now())
        click.echo(f"{directory}: keys created; see README.md there for the keys to keep offline")


@cli.command()
@_DIRECTORY
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(directory: Path, as_json: bool) -> None:
    """Print the public keys with purpose and SHA-256, and the revoked ones."""
    with exit_codes():
        told = project_keys.describe(ProjectKeys(directory))
        if as_json:
            click.echo(json.dumps([line._asdict() for line in told], indent=1))
            return
        for line in told:
            click.echo(f"{line.key:8} {line.sha256}  {line.about}")


@cli.command()
@_DIRECTORY
@click.argument("key", type=click.Choice([*CERTIFICATES, "release"]))
def rotate(directory: Path, key: str) -> None:
    """Replace KEY with a new key; signatures by the old key stay trusted."""
    with exit_codes():
        kept = rotation.rotate(ProjectKeys(directory), key, utc_now())
        click.echo(f"{directory}: new key {key}; the old key is {kept}")


@cli.command()
@_DIRECTORY
@click.option("--program", type=_FILE, help="UKI or boot loader to revoke.")
@click.option("--key", type=_FILE, help="Public key to revoke: its signatures are refused.")
def revoke(directory: Path, program: Path | None, key: Path | None) -> None:
    """Revoke a program, or a key with everything that it signed; the KEK signs dbx.auth."""
    with exit_codes():
        if (program is None) == (key is None):
            raise click.UsageError("use either --program or --key")
        keys, now = ProjectKeys(directory), utc_now()
        if program is not None:
            rotation.revoke(keys, Signature.digest(digest_program(program)), now)
            click.echo(f"{directory / 'dbx.auth'}: {program} is revoked")
        elif key is not None:
            rotation.revoke_key(keys, key, now)
            click.echo(f"{directory}: {key.name} is revoked")
