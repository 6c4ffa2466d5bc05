"""`colvert sign`: sign a build's request on the machine that has the keys.

Imports nothing of the builder but what reads requests: this command runs on machines that hold
keys and little else. `python -m builder.cli.sign` is the same.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path

import click

from builder.cli.failures import answering, exit_codes, run
from builder.errors import Code, ColvertError
from builder.signing.policy import check_policy, locked, read_policy, read_state
from builder.signing.request import read_request, to_text
from builder.signing.sign import Holder, check_content, shown, sign_items, wanted
from builder.signing.signers import open_signer
from builder.signing.trust import read_certificate


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("request_file", metavar="REQUEST", type=click.Path(path_type=Path))
@click.option(
    "-k",
    "--key",
    "keys",
    multiple=True,
    required=True,
    metavar="NAME=KEY",
    help="Key of the request and its location: a PEM file, pkcs11:URI, or awskms:ID; can be repeated.",
)
@click.option(
    "--cert",
    "certificates",
    multiple=True,
    metavar="NAME=FILE",
    help="Certificate of a key [the PEM file's name with .crt].",
)
@click.option("--policy", type=click.Path(path_type=Path), required=True, help="Signing policy (YAML).")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("signatures.json"),
    show_default=True,
    help="Signature file to write.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
def cli(
    request_file: Path,
    keys: tuple[str, ...],
    certificates: tuple[str, ...],
    policy: Path,
    out: Path,
    yes: bool,
) -> None:
    """Sign the items of a signing request.

    Shows the items and asks for confirmation; refuses items that the policy does not allow.

    \b
    Examples:
      colvert sign request.json --key db=keys/db.key --key verity=keys/verity.key --policy policy.yaml
      colvert sign request.json --key 'release=pkcs11:token=acme;object=release' --policy policy.yaml
      colvert sign request.json --key release=awskms:alias/release --policy policy.yaml
    """
    with exit_codes():
        request = read_request(request_file)
        rules = read_policy(policy)
        addresses, files = _pairs(keys, "--key"), _pairs(certificates, "--cert")
        holders = {name: _holder(name, address, files.get(name)) for name, address in addresses.items()}
        items = wanted(request, holders)
        check_content(request, items, rules)
        state = policy.parent / rules.state if rules.state else None
        with locked(state) if state else nullcontext():
            record = read_state(state) if state else None
            check_policy(rules, record, request, items)
            for line in shown(request, items):
                click.echo(line, err=True)
            with answering("use a terminal, or add --yes"):
                agreed = yes or click.confirm(f"Sign these {len(items)} items?", err=True)
            if not agreed:
                raise ColvertError(Code.USAGE, "nothing was signed")
            made = sign_items(request, items, holders)
            # first: what was given away must not be forgotten
            if record:
                record.remember(request, items)
            _write(out, to_text(made))
        click.echo(f"{out}: {len(items)} signatures", err=True)


def _pairs(words: tuple[str, ...], option: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or not name or not value:
            raise ColvertError(Code.USAGE, f"{option} {word}: NAME=VALUE expected")
        if name in pairs:
            raise ColvertError(Code.USAGE, f"{option}: duplicate {name}")
        pairs[name] = value
    return pairs


def _holder(name: str, address: str, certificate: str | None) -> Holder:
    beside = Path(address).with_suffix(".crt")
    file = Path(certificate) if certificate else beside
    has = certificate is not None or (":" not in address and beside.is_file())
    return Holder(name, open_signer(address, _ask), read_certificate(file) if has else None)


def _ask(question: str, variable: str) -> str:
    """A secret: from the environment, else from the terminal."""
    given = os.environ.get(variable)
    if given:
        return given
    hint = f"set {variable}, or use a terminal"
    if not sys.stdin.isatty():
        raise ColvertError(Code.USAGE, f"{question}: no terminal to prompt on", hint=hint)
    with answering(hint):
        answer: str = click.prompt(question, hide_input=True, err=True)
    return answer


def _write(path: Path, data: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(data)
    fresh.replace(path)


if __name__ == "__main__":
    run(cli, "colvert sign")
