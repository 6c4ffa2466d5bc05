"""Boot loaders: one shape, found by being there; what each puts where."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.arch import ARCHITECTURES, X86_64
from builder.boot import DEFAULT_LOADER, LOADERS, BootFiles, Firmware
from builder.boot.esp import make_esp
from builder.errors import Code, ColvertError
from builder.quantities import MIB

SYSTEMD_BOOT = LOADERS["systemd-boot"]


def given(folder: Path, **keys: bytes) -> BootFiles:
    (folder / "loader.efi").write_bytes(b"loader")
    (folder / "os_1.efi").write_bytes(b"uki")
    for name, data in keys.items():
        (folder / f"{name}.auth").write_bytes(data)
        (folder / f"{name}.auth").chmod(0o600)
    named = {f"{name}.auth": folder / f"{name}.auth" for name in keys}
    return BootFiles(X86_64, folder / "loader.efi", folder / "os_1.efi", "os_1+3.efi", named)


def contents(files: dict[str, Path]) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in files.items()}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.mark.parametrize("name", LOADERS)
def test_every_loader_has_the_same_shape(name: str) -> None:
    loader = LOADERS[name]
    assert loader.name == name
    assert loader.module == f"builder.boot.{name.replace('-', '_')}"
    for row in ARCHITECTURES.values():
        assert not loader.program(row).startswith("/")
        assert not loader.stub(row).startswith("/")


def test_images_get_a_loader_that_there_is() -> None:
    assert DEFAULT_LOADER in LOADERS


def test_systemd_boot_on_its_partition(tmp_path: Path, work: Path) -> None:
    assert contents(SYSTEMD_BOOT.files(given(tmp_path), work)) == {
        "EFI/BOOT/BOOTX64.EFI": b"loader",
        "EFI/systemd/systemd-bootx64.efi": b"loader",
        "EFI/Linux/os_1+3.efi": b"uki",
        "loader/loader.conf": b"timeout 0\nconsole-mode keep\n",
    }
    assert (SYSTEMD_BOOT.firmware, SYSTEMD_BOOT.partition) == (Firmware.UEFI, "ESP")
    assert SYSTEMD_BOOT.boot_code is None


def test_keys_are_enrolled_only_where_there_are_some(tmp_path: Path, work: Path) -> None:
    files = SYSTEMD_BOOT.files(given(tmp_path, PK=b"platform", db=b"programs"), work)
    found = contents(files)
    assert found["loader/keys/auto/PK.auth"] == b"platform"
    assert found["loader/keys/auto/db.auth"] == b"programs"
    assert found["loader/loader.conf"].endswith(b"secure-boot-enroll force\n")
    # the tools run with another id
    assert all(path.stat().st_mode & 0o004 for name, path in files.items() if name.startswith("loader/"))


def test_a_new_entry_is_tried_three_times() -> None:
    assert SYSTEMD_BOOT.new_entry("os_1.2.efi") == "os_1.2+3.efi"


def test_programs_come_of_the_images_own_systemd() -> None:
    assert SYSTEMD_BOOT.program(X86_64) == "usr/lib/systemd/boot/efi/systemd-bootx64.efi"
    assert SYSTEMD_BOOT.stub(X86_64) == "usr/lib/systemd/boot/efi/linuxx64.efi.stub"


@pytest.mark.parametrize("mib", [34, 43])
def test_an_esp_has_room_for_the_uki_of_an_update(tmp_path: Path, mib: int) -> None:
    boot = given(tmp_path)
    with boot.uki.open("r+b") as stream:
        stream.truncate(20 * MIB)
    (tmp_path / "out").mkdir()
    with pytest.raises(ColvertError) as caught:
        make_esp(
            SYSTEMD_BOOT,
            boot,
            tmp_path / "out/esp",
            sdk_root=tmp_path,
            size=mib * MIB,
            epoch=0,
            identity="x",
        )
    assert caught.value.code is Code.TOO_LARGE
    assert "45 MiB" in caught.value.hint
