"""Running programs: closed, and a failure that can be pasted and run again."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from builder.errors import Code, ColvertError
from builder.sandbox.run import Command, command, require, run, start


def test_the_environment_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAKED", "yes")
    names = {line.partition("=")[0] for line in run(["/usr/bin/env"]).stdout.splitlines()}
    assert "LEAKED" not in names
    assert {"PATH", "LC_ALL", "TZ"} <= names


def test_a_failure_tells_its_output_and_can_be_run_again(tmp_path: Path) -> None:
    with pytest.raises(ColvertError) as caught:
        run(["/bin/sh", "-c", "echo 'it is' broken >&2; exit 3"], cwd=tmp_path, env={"NAME": "a b"})
    assert caught.value.code is Code.COMMAND_FAILED
    assert caught.value.detail == ("it is broken",)
    again = subprocess.run(["/bin/sh", "-c", caught.value.hint], capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr) == (3, "it is broken\n")


def test_a_time_limit_kills_the_whole_group(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    began = time.monotonic()
    with pytest.raises(ColvertError):
        run(["/bin/sh", "-c", f"(sleep 3; touch {mark}) & wait"], timeout=0.5)
    assert time.monotonic() - began < 2.5
    time.sleep(3.2)
    assert not mark.exists()


def test_leaving_the_block_kills_what_still_runs() -> None:
    with start(command(["/bin/sleep", "60"])) as process:
        pass
    assert process.returncode == -9
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_a_missing_program_is_named_with_its_package() -> None:
    with pytest.raises(ColvertError) as caught:
        require("no-such-program-here", "no-such-package")
    assert caught.value.code is Code.HOST_TOOL
    assert "no-such-package" in caught.value.hint


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run(["/bin/sh", "-c", "echo out; echo err >&2"], log=log)
    assert log.read_text() == "out\nerr\n"


def test_input_reaches_the_program_and_else_there_is_none() -> None:
    assert run(["/bin/cat"], stdin=b"text").stdout == "text"
    assert run(["/bin/cat"]).stdout == ""


def test_pasteable_quotes_everything() -> None:
    text = Command(("echo", "a b", "$x"), {"K": "1 2"}, "/a b", 7).pasteable()
    assert text.startswith("cd '/a b' && setpriv --reuid=7")
    assert "'K=1 2'" in text
    assert "'$x'" in text
