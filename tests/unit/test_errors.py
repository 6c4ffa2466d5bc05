"""What is told of somebody else's files does not act on the terminal."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from builder.cli.failures import show_error
from builder.cli.verify import cli
from builder.errors import Code, ColvertError, Location, printable
from tests.unit.signing import make

EVIL = "\x1b[2J\x1b[Hok  release.json\r"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (EVIL, r"\x1b[2J\x1b[Hok  release.json\r"),
        ("a\nb\0\x7f\x9b", r"a\nb\x00\x7f\x9b"),
        ("\u202egnp.exe\u2028", r"\u202egnp.exe\u2028"),
        ("not UTF-8: \udcff", r"not UTF-8: \udcff"),
        ("Größe 日本\t… \\", "Größe 日本\t… \\"),
    ],
)
def test_what_would_act_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_every_part_of_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    hint = "cd a && sh -c 'b\nc'"
    inner = ColvertError(Code.USAGE, EVIL, where=Location(EVIL), hint=EVIL, detail=[EVIL])
    error = ColvertError(Code.USAGE, EVIL, where=Location(EVIL), hint=hint, detail=[EVIL], others=[inner])
    show_error(error, as_json=False)
    for said in ("\n".join(error.lines()), str(error), capsys.readouterr().err):
        assert "\x1b[2J" not in said and "\x1b[H" not in said and "\r" not in said
        # a command line is to be pasted: its line breaks stay
        assert hint in said
        assert said.count(r"\x1b[2J") == 7


def test_verify_on_a_file_with_such_a_name(tmp_path: Path) -> None:
    project = make(tmp_path).sign_all()
    shutil.rmtree(project.place / "update")
    (project.place / EVIL).touch()
    words = [str(project.place), "--trust", str(project.keys)]
    result = CliRunner().invoke(cli, words, color=True)
    assert result.exit_code == 2
    assert r"\x1b[2J\x1b[Hok  release.json\r: " in result.output
    assert "\x1b[2J" not in result.output and "\r" not in result.output
