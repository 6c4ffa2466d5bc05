"""Keys of stages, as a hostile reader would test them: whatever can change an output changes its key.

For every stage each field, each file of its code and each data file is changed, and the key has to move;
something unrelated is changed, and it has to stay. KNOWN_HOLES is empty and stays empty.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import pkgutil
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import builder
from builder.arch import X86_64
from builder.assembly.presets import UnitRules
from builder.boot import DEFAULT_LOADER
from builder.build.digests import Digests
from builder.build.disk import Disk, PackedDisk
from builder.build.initrd import Initrd
from builder.build.inventory import MakeInventory
from builder.build.platform_image import PlatformImage
from builder.build.sbom import Sbom
from builder.build.tree import File, Shipped, Tree
from builder.build.uki import Boot, Uki
from builder.build.update import Announcement, Delta, Old, Slot, Update, Whole
from builder.build.usr import Usr
from builder.describe.licences import parse
from builder.describe.sbom import Package as Described
from builder.describe.sbom import Source as DescribedSource
from builder.formats.gpt import Sizes
from builder.machine.qemu import Bus, Nic
from builder.machine.warm import WarmMachine
from builder.packages.distfile import Source
from builder.packages.package import Dependency, Package
from builder.packages.plan import Resolve
from builder.packages.portage.config import Configuration, Repository
from builder.pipeline.artifact import Artifact, Part
from builder.pipeline.code import PROJECT, REPORTING, CodeDigests, Facts
from builder.pipeline.stage import Stage, fields, key
from builder.platforms import PLATFORMS, Need
from builder.signing.boot_signatures import BootSignatures, SignedRootHash

# (stage, field or file) that can change an output and are in no key; nothing may be added
KNOWN_HOLES: tuple[tuple[str, str], ...] = ()


def part(name: str) -> Part:
    return Part(Artifact("made", f"{name}-whole"), name, f"{name}-digest")


def artifact(name: str) -> Artifact:
    return Artifact("made", f"{name}-digest")


ARCH, LOADER = X86_64.name, DEFAULT_LOADER
SLOT = Slot(artifact("usr"), artifact("boot"), "os", "1.0")
ANNOUNCEMENT = Announcement(ARCH, "stable", 1, "0", 7)
OLD = Old("0.9", "ab" * 32, artifact("old"), {"usr": (10, "aa"), "uki": (20, "bb")})
DESCRIBED = Described(
    cpv="a/b-1",
    category="a",
    name="b",
    version="1",
    slot="0",
    overlay="o",
    ebuild="a/b/b-1.ebuild",
    use=("x",),
    description="d",
    homepage="h",
    licence=parse("MIT"),
    sources=(DescribedSource("s", 1, "b2", "sha", ("u",)),),
    runtime=("r",),
    build=("c",),
    shipped=True,
)
SAMPLES: tuple[Stage, ...] = (
    Resolve(("a/b",), Configuration((Repository("o", ("m",)),), "p", {"a/b": ("x",)}), {"o": artifact("o")}),
    Package(
        cpv="a/b-1",
        slot="0",
        repository="o",
        ebuild="a/b/b-1.ebuild",
        use=("x",),
        iuse=("x", "y"),
        repositories=(Repository("o", ("m",)),),
        profile="p",
        recipe=artifact("recipe"),
        sources=(Source("s", 1, "b2", "sha"),),
        dependencies=(Dependency("c/d-1", part("image"), part("vdb")),),
        fragments=artifact("fragments"),
    ),
    Tree(
        id="os",
        version="1.0",
        epoch=7,
        packages=(Shipped("a/b-1", part("image"), ("MIT",), "0", "d", "h"),),
        release=(("ID", "os"),),
        files=(File("etc/x", 0o644, "t"), File("etc/y", 0o600, None, "000-y")),
        sources=artifact("sources"),
        units=UnitRules(("a.service",), ("b.service",), ("c.service",)),
        licences=artifact("licences"),
        update={"SOURCE": "u"},
        keys={"k": b"pem"},
    ),
    Usr(part("tree"), "os", "1.0", 7, "zstd,3", 65536, 1 << 30, 1 << 25),
    Initrd(part("tree"), part("side"), "os", "1.0", 7),
    Uki(ARCH, LOADER, artifact("tree"), part("initrd"), "ab" * 32, ("quiet",), "os", "1.0"),
    Boot(
        ARCH, LOADER, part("tree"), part("uki"), "ab", "os", "1.0",
        BootSignatures({"uki": (b"u",), "loader": (b"l",)}, {"usr-root-hash": SignedRootHash(b"r", "c")}),
    ),
    Disk(
        ARCH, LOADER, artifact("usr"), artifact("boot"), "ab" * 32, "os", "1.0", 7, Sizes(), 1 << 33,
        artifact("keys"),
    ),
    PackedDisk(part("disk.raw"), "os", "1.0"),
    *(
        PlatformImage(
            ARCH, name, {Need.DISK: part("disk.raw"), Need.PACKED: artifact("packed")}, "os", "Name", "1.0",
            7, PLATFORMS[name].settings(disk_size=1 << 33),
        )
        for name in PLATFORMS
    ),
    Whole(SLOT),
    Delta(SLOT, OLD),
    Update(SLOT, "ab" * 32, artifact("whole"), ((OLD, artifact("delta")),), ANNOUNCEMENT),
    MakeInventory(artifact("tree"), {"usr": part("usr.raw")}, ("quiet",), {"a/b-1": ("x",)}, "os", "1.0"),
    Sbom(artifact("tree"), (DESCRIBED,), artifact("texts"), "os", "Name", "1.0", 7),
    Digests(artifact("boot")),
    WarmMachine(
        artifact("disk"), 1 << 30, 2, 1 << 33, Bus.VIRTIO, Nic.VIRTIO, {"a": "b", "c": b"d"},
        {1: {"serial": "x"}}, False, True,
    ),
)  # fmt: skip
NAMES = [f"{type(one).__name__}-{one.label}" for one in SAMPLES]


def stage_classes() -> set[type[Stage]]:
    """Every stage of the builder."""
    for info in pkgutil.walk_packages(builder.__path__, "builder."):
        # what runs elsewhere, and signers whose libraries are extras
        if not re.search(r"\.portage\.(resolve|sources)$|\.packer$|\.variation$|\.signers\.", info.name):
            importlib.import_module(info.name)
    found, todo = set[type[Stage]](), [Stage]
    while todo:
        for one in todo.pop().__subclasses__():
            todo.append(one)
            if one.__module__.startswith("builder."):
                found.add(one)
    return found


def test_every_stage_is_tested() -> None:
    assert {type(one) for one in SAMPLES} == stage_classes()
    assert KNOWN_HOLES == ()


@pytest.mark.parametrize("stage", SAMPLES, ids=NAMES)
def test_a_stage_is_a_frozen_value(stage: Stage) -> None:
    assert dataclasses.is_dataclass(stage)
    [first, *_] = dataclasses.fields(stage)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(stage, first.name, None)


# --- fields -----------------------------------------------------------------------


def changed(value: object) -> Iterator[object]:  # noqa: PLR0912
    """The value with one thing changed, for each thing in it."""
    match value:
        case Artifact():
            yield Artifact(value.kind, f"{value.digest}!")
            yield Artifact(f"{value.kind}!", value.digest)
        case Part():
            yield dataclasses.replace(value, digest=f"{value.digest}!")
            yield dataclasses.replace(value, name=f"{value.name}!")
        case None:
            yield ""
            yield 0
        case bool():
            yield not value
        case int():
            yield value + 1
            yield str(value)
        case str():
            yield f"{value}!"
            yield f"{value} "
            yield ""
        case bytes():
            yield value + b"!"
        case Mapping():
            yield {**value, "another": "x"}
            for name, member in value.items():
                yield {key: inner for key, inner in value.items() if key != name}
                yield {f"{key}!" if key == name else key: inner for key, inner in value.items()}
                yield from ({**value, name: other} for other in changed(member))
        case tuple():
            yield (*value, "another")
            if len(value) > 1:
                yield value[::-1]
            for number, member in enumerate(value):
                yield value[:number] + value[number + 1 :]
                yield from ((*value[:number], other, *value[number + 1 :]) for other in changed(member))
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            for field in dataclasses.fields(value):
                for other in changed(getattr(value, field.name)):
                    yield dataclasses.replace(value, **{field.name: other})
        case _:
            yield "another"


@pytest.mark.parametrize("stage", SAMPLES, ids=NAMES)
def test_each_field_is_in_the_key(stage: Stage) -> None:
    before, seen = key(stage, code="c", sdk="s"), 0
    for field in dataclasses.fields(stage):
        for other in changed(getattr(stage, field.name)):
            if other == getattr(stage, field.name):
                continue
            seen += 1
            assert key(dataclasses.replace(stage, **{field.name: other}), code="c", sdk="s") != before, field
    assert seen >= len(dataclasses.fields(stage))


def test_what_holds_a_part_is_in_no_key() -> None:
    one = Usr(part("tree"), "os", "1.0", 7, "zstd,3", 65536, 1 << 30, 1 << 25)
    other = dataclasses.replace(one, tree=dataclasses.replace(one.tree, artifact=artifact("elsewhere")))
    assert key(one, code="c", sdk="s") == key(other, code="c", sdk="s")


def test_code_and_sdk_are_in_the_key_and_classes_differ() -> None:
    one = SAMPLES[0]
    assert len({key(one, code=c, sdk=s) for c, s in (("c", "s"), ("d", "s"), ("c", "t"))}) == 3
    assert key(Whole(SLOT), code="c", sdk="s") != key(Digests(artifact("boot")), code="c", sdk="s")


def test_a_place_of_this_machine_is_no_field() -> None:
    with pytest.raises(TypeError):
        fields(Digests(Path("/etc")))  # type: ignore[arg-type]


KNOWN: dict[str, Facts] = {}

# --- code -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, to be edited."""
    place = tmp_path_factory.mktemp("project")
    shutil.copytree(PROJECT / "builder", place / "builder", ignore=shutil.ignore_patterns("__pycache__"))
    return place


def code_of(project: Path, stage: Stage) -> str:
    """The digest of a stage's code as a new process finds it; what a text says does not change."""
    return CodeDigests(project, _known=KNOWN).of(*stage.modules)


def edited(path: Path, old: bytes, new: bytes) -> Iterator[None]:
    text = path.read_bytes()
    assert old in text, f"{path} has no {old!r}"
    path.write_bytes(text.replace(old, new, 1))
    try:
        yield
    finally:
        path.write_bytes(text)


@pytest.mark.parametrize("stage", SAMPLES, ids=NAMES)
def test_each_file_of_its_code_moves_the_key(stage: Stage, project: Path) -> None:
    reader = CodeDigests(project)
    before = reader.of(*stage.modules)
    modules = {name for top in stage.modules for name in reader.closure(top)}
    files = {reader._path(name) for name in modules}
    data = {file for name in modules for file in reader.data_files(name)}
    for path in sorted(files):
        text = path.read_bytes()
        path.write_bytes(text + b"\n# a comment, and white space   \n\n")
        assert code_of(project, stage) == before, f"a comment in {path} moved the key"
        path.write_bytes(text + b"\nEDITED = 1\n")
        assert code_of(project, stage) != before, f"an edit of {path} did not move the key"
        path.write_bytes(text)
    for path in sorted(data):
        text = path.read_bytes()
        path.write_bytes(text + b"\n")
        assert code_of(project, stage) != before, f"an edit of {path} did not move the key"
        path.write_bytes(text)
    assert code_of(project, stage) == before


@pytest.mark.parametrize("stage", SAMPLES, ids=NAMES)
def test_unrelated_code_leaves_the_key(stage: Stage, project: Path) -> None:
    reader = CodeDigests(project)
    before = reader.of(*stage.modules)
    modules = {name for top in stage.modules for name in reader.closure(top)}
    inside = {reader._path(name) for name in modules}
    inside |= {file for name in modules for file in reader.data_files(name)}
    others = [path for path in sorted((project / "builder").rglob("*.py")) if path not in inside]
    texts = {path: path.read_bytes() for path in others}
    assert {project / "builder/cli/plan.py", project / "builder/errors.py"} <= set(others)
    for path, text in texts.items():
        path.write_bytes(text + b"\nEDITED = 1\n")
    (project / "builder/platforms/templates/ec2/.swap").write_text("an editor's")
    try:
        assert code_of(project, stage) == before
    finally:
        for path, text in texts.items():
            path.write_bytes(text)


def test_an_edit_of_one_platform_moves_its_key_and_no_other(project: Path) -> None:
    images = {one.platform: one for one in SAMPLES if isinstance(one, PlatformImage)}
    before = {name: code_of(project, one) for name, one in images.items()}
    for name in images:
        template = min((project / "builder/platforms/templates" / name).rglob("*.j2"))
        for path in (project / f"builder/platforms/{name}.py", template):
            text = path.read_bytes()
            path.write_bytes(text + b"\nEDITED = 1\n")
            after = {other: code_of(project, one) for other, one in images.items()}
            assert {other for other in images if after[other] != before[other]} == {name}
            path.write_bytes(text)


@pytest.mark.parametrize(
    ("stage", "file", "old", "new"),
    [
        (Disk, "boot/systemd_boot.py", b"TRIES = 3", b"TRIES = 7"),
        (Uki, "build/uki.py", b'f"usrhash=', b'f"roothash='),
        (Usr, "sandbox/run.py", b'"TZ": "UTC"', b'"TZ": "CET"'),
        (Package, "sandbox/run.py", b'"TZ": "UTC"', b'"TZ": "CET"'),
        (Package, "pipeline/checkout.py", b"for item in items:", b"for item in list(items)[1:]:"),
        (Package, "packages/portage/bashrc", b"#", b"export CFLAGS=-O0\n#"),
        (Package, "packages/portage/make.conf", b"-T1", b"-T2"),
        (Package, "packages/portage/build.sh", b"set -euo", b"set -eu"),
        (Tree, "assembly/rules.py", b"usr/lib/os-release", b"usr/lib/os-releases"),
        (PackedDisk, "tools/packer.py", b"zlib.compressobj", b"zlib.decompressobj"),
    ],
)
def test_edits_that_no_key_noticed_once(
    stage: type[Stage], file: str, old: bytes, new: bytes, project: Path
) -> None:
    [one] = [sample for sample in SAMPLES if type(sample) is stage]
    before = code_of(project, one)
    for _ in edited(project / "builder" / file, old, new):
        moved = code_of(project, one) != before
    assert moved


def test_what_reads_files_beside_it_names_them() -> None:
    """A module in a stage's closure that reads a file of the project names it in DATA."""
    reader = CodeDigests()
    modules = {name for stage in SAMPLES for top in stage.modules for name in reader.closure(top)}
    # no data of a stage: the project itself, and the platforms' folder, of which each names its own
    known = {"builder.pipeline.code", "builder.platforms.base"}
    for name in sorted(modules - known):
        text = reader._path(name).read_text()
        names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
        assert "__file__" not in names or "DATA" in names, name
    for name in PLATFORMS:
        assert f'DATA = ("templates/{name}",)' in reader._path(f"builder.platforms.{name}").read_text()


def test_only_what_reports_is_left_out() -> None:
    assert {"builder.errors", "builder.pipeline.events"} == REPORTING


def test_a_stage_is_keyed_by_the_versions_of_its_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    [image] = [one for one in SAMPLES if isinstance(one, PlatformImage) and one.platform == "ec2"]
    before = CodeDigests().of(*image.modules)
    monkeypatch.setattr("builder.pipeline.code._version", lambda library: f"{library} 99")
    assert CodeDigests().of(*image.modules) != before


def test_what_a_text_says_is_remembered_by_its_content(tmp_path: Path, project: Path) -> None:
    cache, stage = tmp_path / "code.json", SAMPLES[3]
    first = CodeDigests(project, cache).of(*stage.modules)
    assert cache.exists()
    assert CodeDigests(project, cache).of(*stage.modules) == first
    for _ in edited(project / "builder/build/usr.py", b'"usr.raw"', b'"usr.img"'):
        assert CodeDigests(project, cache).of(*stage.modules) != first
    cache.write_text("{damaged")
    assert CodeDigests(project, cache).of(*stage.modules) == first
