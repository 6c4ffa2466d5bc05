"""The merged manifest as people see it. `COLVERT_ACCEPT=1` takes a new result as the right one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from builder.build.targets import read_settings
from builder.manifest.load import load
from builder.manifest.show import show_json, show_yaml

GOLDEN = Path(__file__).parent / "golden"
BASE = """\
version: "1.0"
epoch: 1700000000
packages: [sys-apps/systemd, app-editors/nano]
use:
  sys-apps/systemd: [boot, -importd]
kernel:
  fragments: [../debug.config]
  command_line: [console=ttyS0, rw]
usr: {compression: 'zstd,3', cluster_size: 128 KiB}
platforms:
  qemu: {memory: 1 GiB}
"""
VARIANT = """\
include:
  - lib/base.yaml
id: example
name: Example {{ version }}
packages:
  - !remove app-editors/nano
  - ">=app-shells/bash-5.2"
use:
  sys-apps/systemd: [-boot]
files:
  - path: /etc/motd
    content: |
      # {{ id }}: hello
      "quoted"
  - {path: /usr/bin/tool, source: tool, mode: 0755}
users:
  - {name: core, id: 1000, home: /home/core, shell: /usr/bin/bash, groups: [wheel]}
platforms:
  qemu: {cpus: 4}
"""


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("lib").mkdir()
    Path("lib/base.yaml").write_text(BASE)
    for name in ("debug.config", "tool"):
        Path(name).write_text("")
    Path("example.yaml").write_text(VARIANT)
    return Path("example.yaml")


@pytest.mark.parametrize(("name", "show"), [("show.yaml", show_yaml), ("show.json", show_json)])
def test_shown_as_accepted(example: Path, name: str, show: type[show_yaml]) -> None:  # type: ignore[valid-type]
    loaded = load(example)
    shown = show(loaded, read_settings(loaded))  # type: ignore[misc]
    if os.environ.get("COLVERT_ACCEPT"):
        GOLDEN.mkdir(exist_ok=True)
        (GOLDEN / name).write_text(shown)
    assert shown == (GOLDEN / name).read_text()


def test_what_is_shown_is_a_manifest_again(example: Path) -> None:
    loaded = load(example)
    text = show_yaml(loaded, read_settings(loaded))
    # paths start from where a file stands
    Path("flat.yaml").write_text(text.replace("../debug.config", "debug.config"))
    again = load(Path("flat.yaml"))
    assert again.manifest.part_json("files", "use", "packages", "users", "usr", "kernel") == (
        loaded.manifest.part_json("files", "use", "packages", "users", "usr", "kernel")
    )
    assert read_settings(again) == read_settings(loaded)
    assert (again.version, again.epoch) == (loaded.version, loaded.epoch)


def test_every_value_of_the_json_has_an_origin(example: Path) -> None:
    loaded = load(example)
    whole = json.loads(show_json(loaded, read_settings(loaded)))
    assert whole["origins"]["packages.0"] == "lib/base.yaml:3:12"
    assert whole["origins"]["platforms.qemu.cpus"] == "example.yaml:19:16"
    assert whole["origins"]["disk.usr_size"] == "default"
