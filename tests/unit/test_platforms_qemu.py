"""QEMU's start script, with a QEMU that only tells its options."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from builder.arch import X86_64
from builder.platforms import Context, Settings
from builder.platforms.base import render


def context() -> Context:
    return Context(
        "colvert", "Colvert", "1.2.3", Path("/"), 0, Settings(memory=1 << 30, cpus=2), architecture=X86_64
    )


def start(tmp_path: Path, *words: str, **env: str) -> tuple[int, str, str]:
    """Run the start script with a qemu that only tells its options."""
    folder = tmp_path / "it's here"
    if not folder.exists():
        folder.mkdir()
        script = render("qemu", "start.sh.j2", context(), stem="colvert-1.2.3-qemu")
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
