"""Platforms: one shape, one folder each; qemu's start script."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from builder.errors import Code, ColvertError
from builder.platforms import PLATFORMS, Context
from builder.platforms.base import OEM_FOLDER, TEMPLATES, render

GOLDEN = Path(__file__).parent / "golden"


def context(root: Path = Path("/")) -> Context:
    return Context("colvert", "Colvert", "1.2.3", root, 1_700_000_000, {"memory": 1 << 30, "cpus": 2})


@pytest.mark.parametrize("name", PLATFORMS)
def test_every_platform_has_the_same_shape(name: str) -> None:
    platform = PLATFORMS[name]
    assert platform.name == name
    assert platform.outputs == tuple(sorted(set(platform.outputs)))
    assert all(file.startswith(f"colvert-1.2.3-{name}") for file in platform.files(context()))
    text = render(name, f"{OEM_FOLDER}/oem-release.j2", context())
    assert re.search(rf"^ID={name}$", text, re.MULTILINE)
    assert (TEMPLATES / name).is_dir()


def test_qemu_start_script_is_the_golden_one() -> None:
    made = render("qemu", "start.sh.j2", context(), stem="colvert-1.2.3-qemu", memory=1024, cpus=2)
    assert made == (GOLDEN / "qemu.sh").read_text()


def start(tmp_path: Path, *words: str, **env: str) -> tuple[int, str, str]:
    """Run the start script with a qemu that only tells its options."""
    folder = tmp_path / "it's here"
    if not folder.exists():
        folder.mkdir()
        script = render("qemu", "start.sh.j2", context(), stem="colvert-1.2.3-qemu", memory=1024, cpus=2)
        (folder / "start.sh").write_text(script)
        tools = tmp_path / "tools"
        tools.mkdir()
        (tools / "qemu-system-x86_64").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        (tools / "qemu-system-x86_64").chmod(0o755)
        for suffix in (".qcow2", ".code.fd", ".vars.fd"):
            (folder / f"colvert-1.2.3-qemu{suffix}").write_text("x")
    path = f"{tmp_path / 'tools'}:{os.defpath}"
    done = subprocess.run(
        ["sh", str(folder / "start.sh"), *words],
        env={"PATH": path, "ACCEL": "tcg", **env},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_qemu_start_script_throws_away_what_is_written(tmp_path: Path) -> None:
    status, out, _ = start(tmp_path)
    assert status == 0
    assert "snapshot=on" in out
    assert f"file={tmp_path}/it's here/colvert-1.2.3-qemu.vars.fd" not in out
    assert "smbios" not in out


def test_qemu_start_script_keeps_when_told_to(tmp_path: Path) -> None:
    _, out, _ = start(tmp_path, "-S", PERSIST="1", MEMORY="512")
    assert "snapshot=off" in out
    assert f"file={tmp_path}/it's here/colvert-1.2.3-qemu.vars.fd" in out
    assert out.splitlines()[-1] == "-S"
    assert "-m\n512\n" in out


def test_qemu_start_script_passes_a_key(tmp_path: Path) -> None:
    key = tmp_path / "key.pub"
    key.write_text("ssh-ed25519 AAAA x\n")
    _, out, _ = start(tmp_path, SSH_KEY=str(key))
    assert "ssh.authorized_keys.root=c3NoLWVkMjU1MTkgQUFBQSB4Cg==" in out


def test_qemu_start_script_says_what_is_missing(tmp_path: Path) -> None:
    start(tmp_path)
    (tmp_path / "it's here/colvert-1.2.3-qemu.code.fd").unlink()
    status, _, err = start(tmp_path)
    assert status == 2
    assert "code.fd" in err
    assert start(tmp_path, "--help")[0] == 0


def test_a_template_with_a_name_nobody_gave_is_an_error() -> None:
    with pytest.raises(Exception, match="memory"):
        render("qemu", "start.sh.j2", context(), stem="x")


def test_outputs_that_were_not_declared_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from builder.platforms.base import Job, Platform

    def make(job: Job) -> None:
        job.file(".other").write_text("x")

    monkeypatch.setattr(Platform, "_fill_oem", lambda *_: None)
    with pytest.raises(ColvertError) as caught:
        Platform("test", "test", (".img",), make).emit(tmp_path / "disk", context(), tmp_path / "out")
    assert caught.value.code is Code.IMAGE_INVALID
