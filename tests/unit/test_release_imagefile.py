"""An image file is read as everybody else reads it, or refused."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from builder.errors import Code, ColvertError
from builder.verify.imagefile import check_format, inside


def archive(*members: tuple[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as stream:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            stream.addfile(info, io.BytesIO(data))
    return made.getvalue()


def refused(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(ColvertError) as caught:
        inside(path, path.parent)
    assert caught.value.code is Code.RELEASE_INVALID
    return caught.value.what


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.raw", "raw"),
        ("a.img", "raw"),
        ("A.QCOW2", "qcow2"),
        ("a.vmdk", "vmdk"),
        ("a.vhd", "vpc"),
        ("a.vhdx", "vhdx"),
    ],
)
def test_a_format_that_fits_its_name(name: str, format: str) -> None:
    check_format(name, format)
    for other in {"raw", "qcow2", "vmdk", "vpc", "vhdx"} - {format}:
        with pytest.raises(ColvertError, match=f"has the format {other}"):
            check_format(name, other)


def test_a_box_holds_its_disk_as_qcow2(tmp_path: Path) -> None:
    """For vagrant-libvirt, whatever the name says; `dd` of a file called so writes something else."""
    path = tmp_path / "a.box"
    path.write_bytes(gzip.compress(archive(("metadata.json", b"{}"), ("box.img", b"disk"))))
    found = inside(path, tmp_path)
    assert (found.name, found.path.read_bytes(), found.others) == (
        "a.box:box.img",
        b"disk",
        ("metadata.json",),
    )
    check_format(found.name, "qcow2")
    with pytest.raises(ColvertError):
        check_format(found.name, "raw")
    with pytest.raises(ColvertError):
        check_format("box.img", "qcow2")


@pytest.mark.parametrize("name", ["disk", "disk.bin", "disk.iso", "disk.gz"])
def test_a_name_that_says_no_format(name: str, tmp_path: Path) -> None:
    assert "unknown image format" in refused(tmp_path / name, b"disk")


def test_an_archive_under_the_name_of_a_disk(tmp_path: Path) -> None:
    """`dd` would write the archive."""
    made = archive(("disk.raw", b"disk"))
    for name, data in (("a.img", made), ("a.raw", gzip.compress(made)), ("a.qcow2", made)):
        assert "is an archive" in refused(tmp_path / name, data)
    for name in ("a.ova", "a.box", "a.tar.gz"):
        assert "is not an archive" in refused(tmp_path / name, b"QFI\xfb" + bytes(10000))


def test_an_archive_that_goes_on_after_its_end(tmp_path: Path) -> None:
    """GNU tar looks for the next header where Python's reader ends."""
    genuine, second = archive(("disk.raw", b"disk")), archive(("disk.raw", b"evil"))
    assert inside(write(tmp_path / "a.tar", genuine), tmp_path).path.read_bytes() == b"disk"
    for name in ("a.tar", "a.tar.gz"):
        for made in (
            genuine[:1024] + b"x" * 512 + second,
            genuine[:1024] + second,
            genuine + second,
            genuine + bytes(100000) + b"x",
        ):
            data = gzip.compress(made) if name.endswith("gz") else made
            assert "archive" in refused(tmp_path / name, data)
    assert "damaged" in refused(tmp_path / "b.tar.gz", gzip.compress(genuine) + b"garbage")
    parts = gzip.compress(genuine[:1024]) + gzip.compress(b"x" * 512 + second)
    assert "after its last member" in refused(tmp_path / "c.tar.gz", parts)
    assert "after its last member" in refused(tmp_path / "d.tar.gz", gzip.compress(genuine + bytes(4 << 20)))


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
