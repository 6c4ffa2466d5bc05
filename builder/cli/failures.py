"""Error reporting and exit codes shared by all commands.

Imports nothing but click: `colvert sign` runs where little else is installed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from builder.errors import Code, ColvertError, Exit, printable


@contextmanager
def exit_codes(as_json: bool = False) -> Iterator[None]:
    """Print a failure as it should be seen and leave with its exit code; never a traceback."""
    try:
        yield
    except ColvertError as error:
        show_error(error, as_json)
        sys.exit(error.exit)
    except KeyboardInterrupt:
        click.echo("interrupted; finished stages are in the store", err=True)
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.OK)
    except OSError as error:
        show_error(_from_os(error), as_json)
        sys.exit(_from_os(error).exit)


def _from_os(error: OSError) -> ColvertError:
    name = f" ({error.filename})" if error.filename else ""
    if error.errno == 28:  # ENOSPC
        return ColvertError(
            Code.NO_SPACE,
            f"no space left on the device{name}",
            hint="run colvert store prune --size 5G, or choose another directory with --home",
        )
    return ColvertError(Code.USAGE, f"{error.strerror or error}{name}")


def show_error(error: ColvertError, as_json: bool) -> None:
    """One error and all found with it, for people on stderr or as one JSON object on stdout."""
    if as_json:
        click.echo(json.dumps({"kind": "error", "errors": [_as_dict(item) for item in _flat(error)]}))
        return
    for item in _flat(error):
        head = f"{printable(str(item.where))}: " if item.where else ""
        _say(f"{head}{click.style('error: ', fg='red', bold=True)}{printable(item.what)}")
        for line in item.detail:
            _say(click.style(f"  | {printable(line)}", dim=True))
        if item.hint:
            _say(click.style(f"  try: {printable(item.hint, lines=True)}", fg="cyan"))


def _say(text: str) -> None:
    click.echo(text, err=True, color=False if os.environ.get("NO_COLOR") else None)


def _flat(error: ColvertError) -> list[ColvertError]:
    return [error, *(inner for other in error.others for inner in _flat(other))]


def _as_dict(error: ColvertError) -> dict[str, object]:
    where = error.where
    place = {"file": where.file, "line": where.line, "column": where.column} if where else None
    return {
        "code": error.code,
        "what": error.what,
        "where": place,
        "hint": error.hint,
        "detail": list(error.detail),
    }
