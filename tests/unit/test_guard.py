"""The guard around every command: unwritable output, wrong options, our own mistakes, signals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
MAIN = "from builder.cli.main import main; main()"
GUARDED = """
import os, signal, sys, click
from builder.cli.failures import {names}
# a job in the background, or under nohup, hands down that they are ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
for one in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(one, signal.SIG_DFL)
@click.command(context_settings={{"ignore_unknown_options": True}})
@click.argument("words", nargs=-1)
def command(words):
    {body}
run(command, "command")
"""


def start(code: str, *words: str, shell: str = '"$@"') -> subprocess.CompletedProcess[str]:
    """Python with that program, started by a shell that redirects its streams."""
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {shell}", "bash", sys.executable, "-c", code, *words],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def guarded(body: str, *words: str, shell: str = '"$@"') -> subprocess.CompletedProcess[str]:
    """A command of one line under the guard."""
    names = "answering, exit_codes, run"
    return start(GUARDED.format(body=body, names=names), *words, shell=shell)


COMMANDS = [("targets",), ("manifest", "show", "--json"), ("manifest", "--help")]


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize("shell", ['"$@" >/dev/full', '"$@" >&-'])
def test_output_that_cannot_be_written_is_told(words: tuple[str, ...], shell: str) -> None:
    done = start(MAIN, *words, shell=shell)
    assert done.returncode == 1
    assert "standard output" in done.stderr
    assert "Traceback" not in done.stderr and "prune" not in done.stderr


@pytest.mark.parametrize("words", COMMANDS)
def test_a_reader_that_goes_away_is_no_failure(words: tuple[str, ...]) -> None:
    done = start(MAIN, *words, shell='"$@" | true')
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [("build", "--json", "--nosuch"), ("store", "list", "--json", "more")])
def test_a_wrong_option_is_one_json_object(words: tuple[str, ...]) -> None:
    done = start(MAIN, *words)
    assert done.returncode == 2
    (error,) = json.loads(done.stdout)["errors"]
    assert error["code"] == "input.usage"


def test_an_unforeseen_exception_is_a_sentence_and_a_file() -> None:
    secret = "https://me:hunter2@example.org/"
    done = guarded("raise ValueError(words[0])", secret, "--set=token=hunter2")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr and "hunter2" not in done.stderr
    found = re.search(r"\S+colvert-report-\S+", done.stderr)
    assert found
    report = Path(found[0])
    told = report.read_text()
    report.unlink()
    assert "Traceback" in told and "ValueError" in told and "hunter2" not in told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_clean_up(number: signal.Signals, tmp_path: Path) -> None:
    body = f"""
    from tempfile import TemporaryDirectory
    with exit_codes(), TemporaryDirectory(dir={str(tmp_path)!r}):
        os.kill(os.getpid(), {int(number)}); signal.pause()"""
    assert guarded(body).returncode == 128 + number
    assert os.listdir(tmp_path) == []


def test_nohup_goes_on() -> None:
    body = "os.kill(os.getpid(), signal.SIGHUP); print('went on')"
    before = "signal.signal(one, signal.SIG_DFL)"
    code = GUARDED.replace(before, "signal.signal(one, signal.SIG_IGN)").format(names="run", body=body)
    assert start(code).stdout == "went on\n"


@pytest.mark.parametrize("shell", ['"$@" </dev/null', '"$@" <&-'])
def test_a_question_that_nobody_answers_is_exit_2(shell: str) -> None:
    body = """
    with exit_codes(), answering("use a terminal"):
        click.confirm("Sure?", err=True)"""
    done = guarded(body, shell=shell)
    assert done.returncode == 2
    assert "use a terminal" in done.stderr
