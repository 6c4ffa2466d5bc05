"""The command line: help, exit codes, JSON errors, completion and manual pages."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from builder.cli.main import COMMANDS, cli
from builder.cli.man import _commands

ALL = _commands(cli, "colvert")


@pytest.mark.parametrize(("name", "command"), ALL, ids=[name for name, _ in ALL])
def test_every_command_has_help(name: str, command: object) -> None:
    result = CliRunner().invoke(cli, [*name.split()[1:], "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("id: colvert\nname: X\nversion: 1\nepoch: 0\npakages: []\n", "input.manifest-invalid"),
        ("a: [1,\n", "input.manifest-syntax"),
        ("include: [gone.yaml]\nversion: 1\nepoch: 0\nid: x\nname: X\n", "input.include-missing"),
    ],
)
def test_a_bad_manifest_is_exit_2_with_a_place(tmp_path: Path, text: str, code: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    result = CliRunner().invoke(
        cli, ["plan", "--json", "--manifest", str(path), "--home", str(tmp_path / "home")]
    )
    assert result.exit_code == 2
    first = json.loads(result.output)["errors"][0]
    assert first["code"] == code
    assert first["where"]["file"].endswith("bad.yaml")
    assert first["where"]["line"] >= 1
    assert not (tmp_path / "home").exists()


def test_a_missing_manifest_is_exit_2(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["build", "--manifest", str(tmp_path / "none.yaml")])
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_unknown_options_are_exit_2() -> None:
    assert CliRunner().invoke(cli, ["build", "--no-such-option"]).exit_code == 2


def test_keys_without_secure_boot_are_exit_2(tmp_path: Path) -> None:
    words = ["run", "--keys", str(tmp_path), "--home", str(tmp_path / "home")]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    assert "--secure-boot" in result.output
    assert not (tmp_path / "home").exists()


def test_manual_pages_are_written_for_every_command(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["man", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.iterdir()} == {f"{name.replace(' ', '-')}.1" for name, _ in ALL}
    for name in COMMANDS:
        assert re.search(r"^\.SH SYNOPSIS$", (tmp_path / f"colvert-{name}.1").read_text(), re.MULTILINE)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_made(shell: str) -> None:
    program = Path(__file__).parents[2] / ".venv/bin/colvert"
    env = {**os.environ, "_COLVERT_COMPLETE": f"{shell}_source"}
    text = subprocess.run([program], env=env, capture_output=True, text=True, check=True).stdout
    assert "_COLVERT_COMPLETE" in text
