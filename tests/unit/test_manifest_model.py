"""The model: parts for stages' keys, values as stages get them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from builder.manifest.model import Disk, Manifest
from builder.quantities import GIB, KIB, MIB, format_size, parse_size


def manifest(**values: object) -> Manifest:
    return Manifest.model_validate({"id": "a", "name": "A", "version": "1", **values})


def test_the_disk_is_the_designs() -> None:
    disk = Disk()
    sizes = (disk.esp_size, disk.usr_size, disk.verity_size, disk.signature_size, disk.oem_size)
    assert sizes == (GIB, 2 * GIB, 32 * MIB, MIB, 256 * MIB)


def test_a_hash_tree_has_to_fit() -> None:
    # 2 GiB: 4096 + 32 + 1 digest blocks and the superblock are a little over 16 MiB
    Disk(verity_size=17 * MIB)
    with pytest.raises(ValidationError):
        Disk(verity_size=16 * MIB)


def test_a_model_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        manifest().name = "B"


def test_a_part_is_only_what_was_asked_for() -> None:
    one = manifest(usr={"compression": "lz4"}, packages=["a/b"])
    two = manifest(usr={"compression": "lz4"}, packages=["c/d"])
    assert one.part("usr.compression", "locales") == {"locales": [], "usr.compression": "lz4"}
    assert one.part_json("usr", "id") == two.part_json("usr", "id")
    assert one.part_json("packages") != two.part_json("packages")
    with pytest.raises(KeyError):
        one.part("pakages")
    with pytest.raises(KeyError):
        one.part("usr.size")


def test_a_source_file_counts_by_its_content_only(tmp_path: Path) -> None:
    def fragments(name: str, text: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return manifest(kernel={"fragments": [str(path)]}).part_json("kernel.fragments")

    assert fragments("a/x", "CONFIG_A=y") == fragments("b/y", "CONFIG_A=y")
    assert fragments("a/x", "CONFIG_A=y") != fragments("a/x", "CONFIG_A=n")
    assert str(tmp_path) not in fragments("a/x", "CONFIG_A=y")


def test_a_directory_mirror_becomes_a_url(tmp_path: Path) -> None:
    assert manifest(distfile_mirrors=[str(tmp_path)]).distfile_mirrors == (tmp_path.as_uri(),)


@pytest.mark.parametrize(
    ("text", "size"), [("2 GiB", 2 * GIB), ("64KiB", 64 * KIB), ("512", 512), ("1 TiB", 1 << 40)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    "update",
    [
        {"reboot": "window"},
        {"reboot": "window", "window_start": "Sun 03:00"},
        {"reboot": "later"},
        {"window_start": "Sun\n03:00"},
        {"window_length": "long"},
        {"expires_after": 0},
        {"deltas": -1},
        {"rate": "fast"},
        {"kexec": "maybe"},
        {"from_at_least": "1-2"},
        {"keys": ["none.pem"]},
    ],
)
def test_update_settings_that_cannot_be(update: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        manifest(update=update)


def test_update_keys_are_named_by_their_files(tmp_path: Path) -> None:
    def keys(*names: str) -> Manifest:
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("")
        return manifest(update={"keys": [str(tmp_path / name) for name in names]})

    assert [key.path.stem for key in keys("fleet.pem", "spare-2.pem").update.keys] == ["fleet", "spare-2"]
    for names in (("fleet.pem", "a/fleet.pem"), ("development.pem",), ("a b.pem",)):
        with pytest.raises(ValidationError):
            keys(*names)


def test_a_window_is_a_calendar_expression_and_a_span() -> None:
    update = {
        "reboot": "window",
        "window_start": "Sun *-*-* 03:00",
        "window_length": "1h 30min",
        "rate": "2 MiB",
    }
    made = manifest(update=update).update
    assert (made.window_start, made.window_length, made.rate) == ("Sun *-*-* 03:00", "1h 30min", 2 * MIB)


def test_keys_are_enrolled_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    def enrolled(*names: str) -> int:
        for name in names:
            (tmp_path / name).write_text("key")
        return len(manifest(keys={"enroll": [str(tmp_path / name) for name in names]}).keys.enroll)

    assert enrolled() == 0
    assert enrolled("PK.auth", "db.auth", "KEK.auth") == 3
    assert enrolled("PK.auth", "dbx.auth", "db.auth", "KEK.auth") == 4
    for names in (("db.auth", "KEK.auth"), ("PK.auth", "db.auth", "KEK.auth", "PK.key")):
        with pytest.raises(ValidationError):
            enrolled(*names)
