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
    """Make and look after the keys that sign a project's releases."""


@cli.command()
@_DIRECTORY
@click.option("--name", help="What the certificates are called after [the directory's name].")
def create(directory: Path, name: str | None) -> None:
    """Make a set of keys in DIRECTORY, which must not exist."""
    with exit_codes():
        project_keys.create(directory, name or directory.absolute().name, utc_now())
        click.echo(f"{directory}: keys made; README.md there says which to keep offline")


@cli.command()
@_DIRECTORY
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def show(directory: Path, as_json: bool) -> None:
    """Print the public halves: what each is for, its SHA-256, and what is revoked."""
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
    """Put a new key in the place of KEY; what the old one signed stays believed."""
    with exit_codes():
        kept = rotation.rotate(ProjectKeys(directory), key, utc_now())
        click.echo(f"{directory}: a new {key}; the old one is {kept}")


@cli.command()
@_DIRECTORY
@click.option("--program", type=_FILE, help="A UKI or a boot loader that must not start any more.")
@click.option("--key", type=_FILE, help="An earlier key's public half: what it signed is refused.")
def revoke(directory: Path, program: Path | None, key: Path | None) -> None:
    """Refuse a program, or all that a key has signed; dbx.auth is signed by the KEK."""
    with exit_codes():
        if (program is None) == (key is None):
            raise click.UsageError("one of --program and --key is wanted")
        keys, now = ProjectKeys(directory), utc_now()
        if program is not None:
            rotation.revoke(keys, Signature.digest(digest_program(program)), now)
            click.echo(f"{directory / 'dbx.auth'}: it refuses {program}")
        elif key is not None:
            rotation.revoke_key(keys, key, now)
            click.echo(f"{directory}: {key.name} is among the revoked keys")
