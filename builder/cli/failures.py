"""Error reporting and exit codes shared by all commands.

Needs no package but click: `colvert sign` runs where little else is installed.
"""

from __future__ import annotations

import errno
import io
import json
import os
import platform
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

from builder import __version__
from builder.errors import Code, ColvertError, Exit, printable
from builder.texts import public_text, public_words

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

ENDING = (signal.SIGTERM, signal.SIGHUP)


class Unwritable(Exception):
    """Standard output does not take what is written to it; no OSError, which would be a file's."""


class Ended(KeyboardInterrupt):
    """A signal asked the process to end: everything is cleaned up as after Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class _Output(io.FileIO):
    """The descriptor of standard output."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise Unwritable(error.errno) from error


def run(command: click.Command, name: str) -> NoReturn:
    """Run a program's command and leave with its exit code: the guard around all of them."""
    _open_streams()
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, _end)
    try:
        status = _status(command, name)
        sys.stdout.flush()
    except Unwritable as error:
        status = _unwritable(error)
    sys.exit(status)


def _open_streams() -> None:
    """Give the process its standard streams, also where the caller closed them: no file of ours may get
    their numbers. What is written to a closed one fails."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # the lowest free number
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - stays open
    terminal = os.isatty(1)
    raw = _Output(1, "wb", closefd=False)
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=sys.stdout.encoding if sys.stdout else "utf-8",
        errors=sys.stdout.errors if sys.stdout else "backslashreplace",
        line_buffering=terminal,
    )


def _end(number: int, frame: FrameType | None) -> None:
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)  # a second one must not disturb the cleaning
    raise Ended(number)


def _status(command: click.Command, name: str) -> int:
    words = sys.argv[1:]
    as_json = "--json" in (words[: words.index("--")] if "--" in words else words)
    try:
        left = command(prog_name=name, standalone_mode=False)
        return left if isinstance(left, int) else Exit.OK
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else Exit.OK
    except Unwritable:
        raise
    except click.ClickException as error:
        if as_json:
            show_error(_from_click(error), as_json)
        else:
            error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        return _interrupted(error)
    except Exception as error:
        show_error(_unforeseen(error), as_json)
        return Exit.BUILD


def _from_click(error: click.ClickException) -> ColvertError:
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"{context.command_path} --help" if context else ""
    return ColvertError(Code.USAGE, error.format_message(), hint=hint)


def _unwritable(error: Unwritable) -> int:
    """Nothing where the reader went away, as `| head` does; everything else failed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    number = error.args[0]
    if number == errno.EPIPE:
        return Exit.OK
    reason = "it is closed" if number == errno.EBADF else os.strerror(number)
    hint = "write it to another place: the output is not complete"
    show_error(ColvertError(Code.OUTPUT, f"standard output cannot be written: {reason}", hint=hint), False)
    return Exit.BUILD


def _unforeseen(error: Exception) -> ColvertError:
    """The error for a mistake of Colvert's own; what its authors need is in a file."""
    told = public_text("".join(traceback.format_exception(error)))
    words = " ".join(public_words(sys.argv))
    hint = "report it"
    with suppress(OSError):
        number, path = tempfile.mkstemp(prefix="colvert-report-", suffix=".txt")
        with open(number, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(f"colvert {__version__}, Python {platform.python_version()}\n{words}\n\n{told}")
        hint = f"report it, with {path}"
    what = f"mistake of Colvert: {type(error).__name__}: {public_text(str(error))}"
    return ColvertError(Code.UNFORESEEN, what, hint=hint)


def _interrupted(error: BaseException) -> int:
    _say("interrupted; finished stages are in the store")
    return 128 + error.number if isinstance(error, Ended) else Exit.INTERRUPTED


@contextmanager
def answering(hint: str) -> Iterator[None]:
    """A question to the user: where nobody can answer, an error that says what to type instead."""
    try:
        yield
    except click.Abort as abort:
        if isinstance(abort.__context__, KeyboardInterrupt):
            raise abort.__context__ from None
        raise ColvertError(Code.USAGE, "no answer on standard input", hint=hint) from abort


@contextmanager
def exit_codes(as_json: bool = False) -> Iterator[None]:
    """Print a failure as it should be seen and leave with its exit code; never a traceback."""
    try:
        yield
    except ColvertError as error:
        show_error(error, as_json)
        sys.exit(error.exit)
    except KeyboardInterrupt as error:
        sys.exit(_interrupted(error))
    except OSError as error:
        show_error(_from_os(error), as_json)
        sys.exit(_from_os(error).exit)


def _from_os(error: OSError) -> ColvertError:
    name = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
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
    with suppress(OSError):  # nowhere is left to tell it
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
