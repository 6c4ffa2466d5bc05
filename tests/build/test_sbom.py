"""What the default OS is made of: SBOMs, provenance and licences of the real image."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from builder.build.blueprint import Blueprint
from builder.build.image import build_images
from builder.build.licences import check_licences
from builder.build.session import Request, Session, open_session
from builder.build.tree import REPORT, TREE
from builder.errors import Code, ColvertError
from builder.pipeline.events import Event, Events, Kind
from builder.pipeline.key import digest_file
from builder.updates.dsse import parse
from tests.build.places import elsewhere, workplace
from tests.conftest import ROOT
from tests.releases import Made, make
from tests.spdx import problems

PACKAGES = "usr/share/colvert/packages.json"


work = pytest.fixture(workplace)


@pytest.fixture(scope="module")
def made(session: Session) -> Made:
    return make(session, "sbom")


@pytest.fixture(scope="module")
def bills(release: Path) -> Mapping[str, bytes]:
    """The SBOMs as they are delivered, by their formats."""
    found = {path.name.split(".")[-2]: path.read_bytes() for path in (release / "sbom").iterdir()}
    assert found.keys() == {"spdx", "cdx"}
    return found


@pytest.fixture(scope="module")
def spdx(bills: Mapping[str, bytes]) -> Any:
    return json.loads(bills["spdx"])


@pytest.fixture(scope="module")
def cdx(bills: Mapping[str, bytes]) -> Any:
    return json.loads(bills["cdx"])


@pytest.fixture(scope="module")
def tree(made: Made) -> Mapping[str, Path]:
    """Every regular file of the image."""
    base = made.path("tree", TREE)
    names = json.loads(made.path("tree", REPORT).read_text())["owners"]
    found = {
        name: base / name for name in names if not (base / name).is_symlink() and (base / name).is_file()
    }
    assert len(found) > 1000
    return found


def test_both_are_valid(bills: Mapping[str, bytes]) -> None:
    assert problems(bills["spdx"]) == []
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bills["cdx"].decode()) is None


def test_every_package_of_the_image_is_in_both(made: Made, spdx: Any, cdx: Any) -> None:
    text = (made.path("tree", TREE) / PACKAGES).read_text()
    listed = {item["package"] for item in json.loads(text)["packages"]}
    required = {
        f"{item['group']}/{item['name']}-{item['version']}"
        for item in cdx["components"]
        if item.get("scope") == "required"
    }
    assert required == listed
    names = {item["SPDXID"]: f"{item['name']}-{item.get('versionInfo')}" for item in spdx["packages"]}
    contained = {
        names[item["relatedSpdxElement"]]
        for item in spdx["relationships"]
        if item["relationshipType"] == "CONTAINS" and item["relatedSpdxElement"] in names
    }
    assert contained == listed


def test_every_file_of_the_tree_is_in_both(tree: Mapping[str, Path], spdx: Any, cdx: Any) -> None:
    wanted = {name: digest_file(path) for name, path in tree.items()}
    sums = {
        item["fileName"].removeprefix("./"): {
            part["algorithm"]: part["checksumValue"] for part in item["checksums"]
        }
        for item in spdx["files"]
    }
    assert {name: found["SHA256"] for name, found in sums.items()} == wanted
    files = [item for item in cdx["components"] if item["type"] == "file"]
    files += [item for whole in cdx["components"] for item in whole.get("components", ())]
    hashes = {
        item["name"].removeprefix("/"): {part["alg"]: part["content"] for part in item["hashes"]}
        for item in files
    }
    assert {name: found["SHA-256"] for name, found in hashes.items()} == wanted


def test_each_file_is_its_owners(made: Made, cdx: Any) -> None:
    owners = json.loads(made.path("tree", REPORT).read_text())["owners"]
    for whole in cdx["components"]:
        for item in whole.get("components", ()):
            assert (
                owners[item["name"].removeprefix("/")]
                == f"{whole['group']}/{whole['name']}-{whole['version']}"
            )


def test_every_source_is_there_with_the_manifests_digest(session: Session, spdx: Any) -> None:
    pinned = {
        item.name: (item.sha512, item.blake2b)
        for node in session.plan.packages
        for item in session.builder.sources(node)
    }
    found = {
        item["name"]: tuple(part["checksumValue"] for part in item["checksums"])
        for item in spdx["packages"]
        if item.get("primaryPackagePurpose") == "SOURCE"
    }
    assert found == pinned


def test_an_exception_and_a_choice_are_told(cdx: Any) -> None:
    said = {item["name"]: item["licenses"] for item in cdx["components"] if "licenses" in item}
    assert said["gcc-runtime"][0]["expression"] == "GPL-3.0-or-later WITH GCC-exception-3.1"
    assert said["zstd"][0]["expression"] == "BSD-3-Clause OR GPL-2.0-only"
    assert said["bash"][0]["license"]["id"] == "GPL-3.0-or-later"


def test_made_again_the_bytes_are_the_same(made: Made, bills: Mapping[str, bytes]) -> None:
    session = made.session
    stage = Blueprint(session).sbom(made.image.entries)
    with elsewhere(), session.executor.working(stage) as place:
        stage.run(place)
        assert {path.name.split(".")[-2]: path.read_bytes() for path in place.out.iterdir()} == bills


def test_every_licence_of_the_image_has_its_text_in_it(made: Made) -> None:
    root = made.path("tree", TREE)
    listed = json.loads((root / PACKAGES).read_text())["packages"]
    needed = {name for item in listed for name in item["licences"]}
    assert needed == {path.name for path in (root / "usr/share/colvert/licences").iterdir()}


# --- provenance -------------------------------------------------------------------


def test_the_provenance_names_all_that_is_delivered(release: Path, session: Session) -> None:
    statement = json.loads(parse((release / "provenance.json").read_bytes()).content())
    subjects = {item["name"]: item["digest"]["sha256"] for item in statement["subject"]}
    files = {str(path.relative_to(release)): path for path in release.rglob("*") if path.is_file()}
    # itself, and the index that names it
    del files["provenance.json"], files["release.json"]
    files = {name: path for name, path in files.items() if not name.startswith(".")}
    found = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    # the index of updates is signed after the statement was made, which names what is signed
    signed = parse((release / "update/index.json").read_bytes()).content()
    for name in ("index", session.loaded.version):
        assert found.pop(f"update/{name}.json")
    found["update/index.payload.json"] = hashlib.sha256(signed).hexdigest()
    assert subjects == found
    definition = statement["predicate"]["buildDefinition"]
    materials = {item["name"]: item["digest"] for item in definition["resolvedDependencies"]}
    assert len(materials) == len(definition["resolvedDependencies"])
    for node in session.plan.packages:
        for source in session.builder.sources(node):
            assert materials[f"distfile:{source.name}"]["sha512"] == source.sha512
    assert {"manifest", "overlay:colvert", "sdk"} <= materials.keys()
    assert definition["externalParameters"]["manifest"] == "manifests/colvert.yaml"
    assert str(ROOT) not in json.dumps(statement)


def test_the_same_build_elsewhere_says_the_same(release: Path, session: Session, work: Path) -> None:
    again = build_images(replace(session, bumps=()), ("qemu",), work)
    assert (again / "provenance.json").read_bytes() == (release / "provenance.json").read_bytes()


# --- licences ---------------------------------------------------------------------


def test_a_refused_licence_stops_before_anything_is_built(work: Path) -> None:
    path, seen = work / "os.yaml", list[Event]()
    refused = {"include": [str(ROOT / "manifests/colvert.yaml")], "licences": {"refuse": ["GPL-3+", "ZLIB"]}}
    path.write_text(yaml.safe_dump({**refused, "version": "1", "epoch": 1, "locales": []}, sort_keys=False))
    session = open_session(Request(path), Events(seen.append))
    with pytest.raises(ColvertError) as caught:
        build_images(session, ("qemu",), work / "out")
    errors = [caught.value, *caught.value.others]
    told = {error.what: error.where for error in errors}
    assert {error.code for error in errors} == {Code.LICENCE_REFUSED}
    where = told["sys-libs/zlib-1.3.1: licence ZLIB is refused"]
    assert where is not None and (where.file, where.line) == (str(path), 6)
    assert any(what.startswith("app-shells/bash-") for what in told)
    # less leaves the choice of BSD-2
    assert not any(what.startswith("sys-apps/less-") for what in told)
    assert not [event for event in seen if event.stage == "package" or event.kind is Kind.OUTPUT]
    assert not (work / "out").exists()


def test_a_licence_without_a_text_is_told_with_its_package(session: Session, work: Path) -> None:
    [overlay] = session.settings.overlays
    shutil.copytree(overlay.path, work / "overlay")
    (work / "overlay/licenses/ZLIB").unlink()
    settings = replace(session.settings, overlays=(replace(overlay, path=work / "overlay"),))
    with pytest.raises(ColvertError) as caught:
        check_licences(replace(session, settings=settings))
    assert caught.value.code is Code.LICENCE_TEXT
    assert "sys-libs/zlib" in caught.value.what and "ZLIB" in caught.value.what
    assert caught.value.where is not None and caught.value.where.file.endswith(".ebuild")
