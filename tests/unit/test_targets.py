"""Targets and the settings of platforms: every mistake is told before anything begins."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from builder.build.targets import check_settings, choose, disk_size, least_size
from builder.cli.main import cli
from builder.errors import Code, ColvertError
from builder.manifest.load import LoadedManifest, load
from builder.manifest.model import Disk
from builder.platforms import PLATFORMS


def test_targets_by_name_once_and_in_their_order() -> None:
    assert [item.name for item in choose(["vmware", "ec2", "vmware"])] == ["vmware", "ec2"]
    assert [item.name for item in choose(["ec2", "all"])] == list(PLATFORMS)


@pytest.mark.parametrize(
    ("given", "meant"), [("vagrnat", "vagrant"), ("openstak", "openstack"), ("ec-2", "ec2"), ("QEMU", "")]
)
def test_an_unknown_target_is_told_with_what_was_meant(given: str, meant: str) -> None:
    with pytest.raises(ColvertError) as caught:
        choose(["qemu", given, "nonsense"])
    assert caught.value.code is Code.UNKNOWN_TARGET
    assert caught.value.exit == 2
    assert given in caught.value.what
    assert meant in caught.value.what
    assert [other.what for other in caught.value.others] == ["unknown target 'nonsense'"]


def manifest(tmp_path: Path, platforms: str, more: str = "") -> LoadedManifest:
    path = tmp_path / "test.yaml"
    path.write_text(f"id: test\nname: Test\nversion: '1'\nepoch: 0\nplatforms:\n{platforms}{more}")
    return load(path)


@pytest.mark.parametrize(
    ("platforms", "line", "column", "words"),
    [
        ("  ec2: {memory: 1 GiB}\n  gce: {disk_size: 5 GiB}\n", 7, 20, "needs? 5.* MiB"),
        ("  gce:\n    disk_size: 9 GiB\n  vmware: {disk_size: 16 MiB}\n", 8, 23, "too small"),
        ("  gce: {disk_size: 8193 MiB}\n", 6, 20, "whole GiB, not 8193 MiB"),
        ("  ec2: {disk_size: 8193 MiB}\n", 6, 20, "whole GiB"),
        ("  vagrnat: {cpus: 1}\n", 6, 12, "did you mean 'vagrant'"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, platforms: str, line: int, column: int, words: str) -> None:
    loaded = manifest(tmp_path, platforms)
    with pytest.raises(ColvertError, match=words) as caught:
        check_settings(loaded)
    assert caught.value.exit == 2
    where = caught.value.where
    assert where is not None
    assert (where.line, where.column) == (line, column)


def test_settings_that_can_be(tmp_path: Path) -> None:
    check_settings(manifest(tmp_path, "  ec2: {disk_size: 6 GiB}\n  qemu: {disk_size: 8193 MiB}\n"))
    # partitions that are larger need a larger disk
    with pytest.raises(ColvertError, match="too small"):
        check_settings(manifest(tmp_path, "  ec2: {disk_size: 6 GiB}\n", "disk: {usr_size: 3 GiB}\n"))


def test_a_disk_is_as_large_as_its_partitions_need() -> None:
    assert disk_size(Disk()) == 8 << 30
    large = Disk(usr_size=6 << 30, verity_size=64 << 20)
    assert least_size(large) < disk_size(large) == 15 << 30


def test_the_command_line_tells_what_was_meant(tmp_path: Path) -> None:
    words = ["build", "--json", "--home", str(tmp_path / "home"), "--target", "ec2", "--target", "vagrnat"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 2
    assert not (tmp_path / "home").exists()
    assert "did you mean 'vagrant'?" in done.output


def test_a_manifest_is_checked_for_it(tmp_path: Path) -> None:
    manifest(tmp_path, "  gce: {disk_size: 1 GiB}\n")
    done = CliRunner().invoke(cli, ["manifest", "check", str(tmp_path / "test.yaml")])
    assert done.exit_code == 2
    assert "test.yaml:6:20" in done.output
