"""The record of a build finds its manifest after the checkout, or the outputs alone, were moved."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.signing.phases import Build
from builder.updates.contents import KeyNames


@pytest.mark.parametrize(
    ("now", "found"),
    [
        ("checkout/out/1", "checkout/os.yaml"),
        ("moved/out/1", "moved/os.yaml"),
        ("elsewhere/1", "checkout/os.yaml"),
        ("link/out/1", "link/os.yaml"),
    ],
)
def test_a_path_is_found(tmp_path: Path, now: str, found: str) -> None:
    for place in ("checkout/out/1", "moved/out/1", "elsewhere/1"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "link").symlink_to("checkout")
    for place in ("checkout", "moved"):
        (tmp_path / place / "os.yaml").touch()
    manifest = str(tmp_path / "checkout/os.yaml")
    build = Build(
        place=str(tmp_path / "checkout/out/1"),
        manifest=manifest,
        overrides={},
        state=manifest,
        deltas_from=[],
        image_id="os",
        architecture="x86_64",
        version="1",
        created=0,
        root_hash="",
        keys=KeyNames(usr="verity", secure_boot="db", release="release"),
    )
    assert build.path(manifest, tmp_path / now) == tmp_path / found
