"""The commands that `ci/setup` makes start from any place, and run the code of their own checkout."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkout that was copied with its environment to a path with spaces; its command tells its place."""
    place = tmp_path / "a copy of mine"
    command = place / "builder/cli/main.py"
    command.parent.mkdir(parents=True)
    for package in (place / "builder", place / "builder/cli"):
        (package / "__init__.py").touch()
    command.write_text(
        "import sys\ndef main():\n    print(__file__, *sys.argv[1:], sep='|')\nbuild_image = main\n"
    )
    original, venv = PROJECT / ".venv", place / ".venv"
    shutil.copytree(original / "bin", venv / "bin", symlinks=True)
    shutil.copy(original / "pyvenv.cfg", venv)
    (venv / "lib").symlink_to(original / "lib")
    return place


@pytest.mark.parametrize("name", ["colvert", "build-image"])
def test_a_copy_in_a_path_with_spaces_runs_its_own_code(copy: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to(copy / f".venv/bin/{name}")
    for start in (copy / f".venv/bin/{name}", tmp_path / "link"):
        done = subprocess.run([start, "two words", "$x"], capture_output=True, text=True, check=True, cwd="/")
        assert done.stdout == f"{copy}/builder/cli/main.py|two words|$x\n"
