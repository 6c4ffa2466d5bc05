"""Platforms: one shape, one folder, one page and one golden file each.

A golden file is everything that people and their tools read: the texts, those inside of
archives and of the OEM partition, and names and sizes of the rest. `COLVERT_ACCEPT=1` takes a
new result as the right one.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import tarfile
import xml.etree.ElementTree
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from builder.arch import X86_64
from builder.build.platform_image import PlatformImage
from builder.errors import Code, ColvertError
from builder.formats.content import save
from builder.formats.table import resized
from builder.pipeline.store import Store
from builder.platforms import PLATFORMS, Context, Need, Settings, rackspace
from builder.platforms.base import OEM_FOLDER, TEMPLATES, Job, Platform, render, write_oem
from tests.unit.disks import content
from tests.unit.stages import Files, executor

GOLDEN = Path(__file__).parent / "golden/platforms"
DOCS = Path(__file__).parents[2] / "docs/targets"
TEXTS = {".json", ".xml", ".vmx", ".sh", ".ovf", ".mf", ".md"}
INSECURE = "vagrant insecure public key"


def context(root: Path = Path("/"), **settings: int) -> Context:
    return Context(
        "colvert", "Colvert", "1.2.3", root, 1_700_000_000, Settings(**settings), architecture=X86_64
    )


@pytest.fixture(autouse=True)
def no_sdk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What comes of the SDK: firmware, and qemu-img's VHD."""
    for name in (X86_64.board.code, X86_64.board.variables):
        path = tmp_path / "sdk" / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"firmware")
    monkeypatch.setattr(rackspace, "make_vhd", lambda disk, out, **_: save([b"vhd"], out))


def make(name: str, tmp_path: Path, **settings: int) -> Path:
    """All outputs of a platform for a small disk."""
    out = tmp_path / "out"
    out.mkdir()
    where = context(tmp_path / "sdk", **settings)
    disk = resized(content(), where.disk_size or content().size)
    PLATFORMS[name].make(Job(name, disk, where, out, PLATFORMS[name].stem(where)))
    return out


def shown(name: str, data: bytes | None, size: int) -> Iterator[str]:
    """A file as a golden file has it."""
    if data is not None and (Path(name).suffix in TEXTS or not Path(name).suffix):
        yield f"==> {name}\n{data.decode()}"
    else:
        yield f"==> {name} ({size} bytes)\n"
        yield from members(name, data or b"")


def members(name: str, data: bytes) -> Iterator[str]:
    """The members of an archive, as if they were files beside it."""
    if name.endswith((".box", ".tar.gz")):
        data = gzip.decompress(data)
    elif not name.endswith(".ova"):
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            small = archive.extractfile(member) if member.size < 1 << 16 else None
            yield from shown(f"{name}/{member.name}", small.read() if small else None, member.size)


@pytest.mark.parametrize("name", PLATFORMS)
def test_outputs_are_the_golden_ones(name: str, tmp_path: Path) -> None:
    out = make(name, tmp_path)
    assert sorted(path.name for path in out.iterdir()) == sorted(PLATFORMS[name].files(context()))
    parts: list[str] = []
    for path in sorted(out.iterdir()):
        size = path.stat().st_size
        parts += shown(path.name, path.read_bytes() if size < 1 << 30 else None, size)
    write_oem(name, context(), tmp_path / "oem")
    for path in sorted((tmp_path / "oem").rglob("*")):
        if path.is_file():
            parts.append(f"==> {path.relative_to(tmp_path)}\n{path.read_text()}")
    made = "".join(parts)
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("COLVERT_ACCEPT"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(made)
    assert made == golden.read_text(), "run with COLVERT_ACCEPT=1"


@pytest.mark.parametrize("name", PLATFORMS)
def test_every_platform_has_the_same_shape(name: str) -> None:
    platform = PLATFORMS[name]
    assert platform.name == name
    assert platform.outputs == tuple(sorted(set(platform.outputs)))
    assert all(file.startswith(f"colvert-1.2.3-{name}") for file in platform.files(context()))
    text = render(name, f"{OEM_FOLDER}/oem-release.j2", context())
    assert re.search(rf"^ID={name}$", text, re.MULTILINE)
    assert (TEMPLATES / name).is_dir()


@pytest.mark.parametrize("name", PLATFORMS)
def test_every_platform_has_its_page(name: str) -> None:
    page = (DOCS / f"{name}.md").read_text()
    for suffix in PLATFORMS[name].outputs:
        assert suffix in page, f"docs/targets/{name}.md does not say what {suffix} is for"
    assert f"]({name}.md)" in (DOCS / "README.md").read_text()


@pytest.mark.parametrize("name", PLATFORMS)
def test_metadata_can_be_read_whatever_the_names_are(name: str, tmp_path: Path) -> None:
    odd = Context(
        "a-b_c.d",
        "O (S) + 1._-",
        "1a.2b",
        tmp_path / "sdk",
        0,
        Settings(memory=3 << 30, cpus=7),
        architecture=X86_64,
    )
    PLATFORMS[name].make(Job(name, content(), odd, tmp_path, "stem"))
    for path in tmp_path.glob("stem*.json"):
        json.loads(path.read_text())
    for path in tmp_path.glob("stem*.xml"):
        xml.etree.ElementTree.parse(path)


@pytest.mark.parametrize("name", PLATFORMS)
def test_the_key_that_everybody_knows_is_vagrants_alone(name: str, tmp_path: Path) -> None:
    write_oem(name, context(), tmp_path / "oem")
    found = [
        path for path in (tmp_path / "oem").rglob("*") if path.is_file() and INSECURE in path.read_text()
    ]
    wanted = [tmp_path / "oem/ssh/authorized_keys.root"] if name == "vagrant" else []
    assert found == wanted
    templates = [path for path in (TEMPLATES / name).rglob("*.j2") if INSECURE in path.read_text()]
    assert len(templates) == len(wanted)


def test_vagrants_catalogue_has_the_digests_of_its_boxes(tmp_path: Path) -> None:
    out = make("vagrant", tmp_path)
    catalogue = json.loads((out / "colvert-1.2.3-vagrant.json").read_text())
    [version] = catalogue["versions"]
    for provider in version["providers"]:
        assert provider["checksum"] == sha256((out / provider["url"]).read_bytes()).hexdigest()


def test_the_ova_is_in_the_order_that_streaming_importers_need(tmp_path: Path) -> None:
    with tarfile.open(make("vmware", tmp_path) / "colvert-1.2.3-vmware.ova") as archive:
        assert [Path(name).suffix for name in archive.getnames()] == [".ovf", ".mf", ".vmdk"]
        texts = {member.name: archive.extractfile(member) for member in archive}
        data = {name: file.read() for name, file in texts.items() if file}
    for line in data["colvert-1.2.3-vmware.mf"].decode().splitlines():
        name, digest = re.fullmatch(r"SHA256\(([^)]+)\)= ([0-9a-f]{64})", line).groups()  # type: ignore[union-attr]
        assert sha256(data[name]).hexdigest() == digest


def test_settings_reach_the_metadata(tmp_path: Path) -> None:
    out = make("vmware", tmp_path, memory=4 << 30, cpus=8, disk_size=20 << 30)
    vmx = (out / "colvert-1.2.3-vmware.vmx").read_text()
    assert 'memsize = "4096"' in vmx
    assert 'numvcpus = "8"' in vmx
    with tarfile.open(out / "colvert-1.2.3-vmware.ova") as archive:
        ovf = archive.extractfile("colvert-1.2.3-vmware.ovf")
        assert ovf is not None
        assert f'ovf:capacity="{20 << 30}"'.encode() in ovf.read()


def test_a_template_with_a_name_nobody_gave_is_an_error() -> None:
    with pytest.raises(Exception, match="stem"):
        render("qemu", "start.sh.j2", context())


# what goes wrong on the way


def _emit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: object) -> Store:
    """Run a platform as a stage of a store; its disk is made without an SDK."""
    monkeypatch.setattr("builder.platforms.base.pack", lambda *_, **__: None)
    monkeypatch.setattr("builder.platforms.base.open_content", lambda *_: content())
    monkeypatch.setattr(Platform, "_own", lambda *_: content())
    platform = Platform("test", "test", (".img",), make)  # type: ignore[arg-type]
    monkeypatch.setattr("builder.build.platform_image.PLATFORMS", {**PLATFORMS, "test": platform})
    run = executor(tmp_path / "store")
    disk = run.obtain(Files({"disk.raw": ""})).part("disk.raw")
    stage = PlatformImage(
        X86_64.name, "test", {Need.DISK: disk}, "colvert", "Colvert", "1.2.3", 7, Settings()
    )
    run.obtain(stage)
    return run.store


def test_outputs_that_were_not_declared_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ColvertError) as caught:
        _emit(tmp_path, monkeypatch, lambda job: job.save(".other", [b"x"]))
    assert caught.value.code is Code.IMAGE_INVALID


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_what_ends_half_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def half(job: Job) -> None:
        def pieces() -> Iterator[bytes]:
            yield b"half"
            raise error

        job.save(".img", pieces())

    with pytest.raises(type(error)):
        _emit(tmp_path, monkeypatch, half)
    store = Store(tmp_path / "store")
    assert [entry.record.stage for entry in store.entries()] == ["files"]
    assert list((store.root / "tmp").iterdir()) == []
    whole = _emit(tmp_path, monkeypatch, lambda job: job.save(".img", [b"whole"]))
    [entry] = [entry for entry in whole.entries() if entry.record.stage == "image"]
    assert [path.name for path in entry.out.iterdir()] == ["colvert-1.2.3-test.img"]
