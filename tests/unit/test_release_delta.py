"""Earlier releases: which are taken, and what is said of those that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from builder.errors import Code, ColvertError
from builder.updates.delta import SIGNED, UNSIGNED, Target, find_earlier
from builder.updates.dsse import sign
from builder.updates.keys import Signer
from tests.unit.releases import fields, index, write_release

KEY = Signer(Ed25519PrivateKey.from_private_bytes(bytes(32)))
TARGET = Target("colvert", "x86_64", "1.10.0")


def write(place: Path, version: str, **changed: object) -> Path:
    return write_release(place, index(version, **changed), KEY)


def found(*places: Path, count: int = 3) -> list[str]:
    return [one.index.version for one in find_earlier(places, TARGET, count)]


def refused(*places: Path) -> ColvertError:
    with pytest.raises(ColvertError) as caught:
        found(*places)
    return caught.value


def test_the_newest_that_are_older_in_the_order_of_versions(tmp_path: Path) -> None:
    for version in ("1.2.0", "1.9.0", "1.8.9", "1.10.0", "1.11.0", "261124.101010"):
        write(tmp_path / version / "update", version)
    assert found(tmp_path, count=2) == ["1.9.0", "1.8.9"]
    assert found(tmp_path, count=0) == []
    assert found(tmp_path, tmp_path / "1.2.0", tmp_path / "1.2.0/update") == ["1.9.0", "1.8.9", "1.2.0"]


def test_a_directory_that_is_served_has_them_all(tmp_path: Path) -> None:
    for version in ("1.2.0", "1.9.0"):
        write(tmp_path, version)
    assert found(tmp_path) == ["1.9.0", "1.2.0"]


def test_an_index_that_waits_for_its_key_will_do(tmp_path: Path) -> None:
    write(tmp_path, "1.9.0")
    for path in tmp_path.glob("*.json"):
        path.unlink()
    (tmp_path / UNSIGNED).write_bytes(index("1.9.0").payload())
    assert found(tmp_path) == ["1.9.0"]


def test_others_beside_ours_are_passed_over_but_not_alone(tmp_path: Path) -> None:
    write(tmp_path / "kiosk/update", "1.0.0", image_id="kiosk")
    assert refused(tmp_path).code is Code.RELEASE_INVALID
    assert "kiosk" in refused(tmp_path / "kiosk").what
    write(tmp_path / "ours/update", "1.1.0")
    assert found(tmp_path) == ["1.1.0"]


@pytest.mark.parametrize("version", ["1.10.0", "1.11.0", "2"])
def test_a_release_that_is_not_older_is_refused(tmp_path: Path, version: str) -> None:
    error = refused(write(tmp_path, version))
    assert error.code is Code.RELEASE_INVALID
    assert "not older" in error.what


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    assert refused(tmp_path / "none").code is Code.USAGE
    assert refused(tmp_path).code is Code.NOT_BUILT
    assert len(refused(tmp_path, tmp_path / "none").others) == 1


def test_files_that_are_missing_cut_or_changed_are_refused(tmp_path: Path) -> None:
    changes: tuple[Callable[[Path], None], ...] = (Path.unlink, _cut, _change)
    for number, change in enumerate(changes):
        place = write(tmp_path / str(number), "1.9.0")
        path = place / index("1.9.0").parts["verity"].whole.name
        change(path)
        error = refused(place)
        assert error.code is Code.RELEASE_INVALID
        assert str(error.where) == str(path)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def test_an_index_that_is_cut_foreign_or_huge_is_refused(tmp_path: Path) -> None:
    whole = (write(tmp_path / "whole", "1.9.0") / SIGNED).read_bytes()
    for content in (
        whole[: len(whole) // 2],
        b"",
        b"{}",
        b" " * (1 << 20) + whole,
        sign("text/plain", index("1.9.0").payload(), [KEY]).to_bytes(),
        sign("application/vnd.colvert.update-index.v1+json", b"{}", [KEY]).to_bytes(),
    ):
        place = tmp_path / "cut"
        place.mkdir(exist_ok=True)
        (place / SIGNED).write_bytes(content)
        error = refused(place)
        assert error.code is Code.RELEASE_INVALID
        assert error.where is not None


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    assert "aarch64" in refused(write(tmp_path, "1.9.0", architecture="aarch64")).what
    assert fields()["architecture"] == "x86_64"
