"""SBOMs of a small bill, by the validators of both formats."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given
from hypothesis import strategies as st
from packageurl import PackageURL

from builder.describe.cyclonedx import make_cyclonedx
from builder.describe.licences import parse
from builder.describe.sbom import Bill, File, Package, Source, read_files, serialize
from builder.describe.spdx import make_spdx
from tests.spdx import problems

SOURCE = Source(
    "a-1.tar.xz", 10, "bb" * 64, "cc" * 64, ("https://example.org/a-1.tar.xz", "mirror://debian/a")
)


def package(cpv: str, licence: str = "MIT", **fields: object) -> Package:
    category, _, rest = cpv.partition("/")
    name, _, version = rest.partition("-")
    made = Package(
        cpv=cpv,
        category=category,
        name=name,
        version=version,
        slot="0",
        overlay="colvert",
        ebuild=f"{category}/{name}/{rest}.ebuild",
        use=("ssl",),
        description="A thing",
        homepage="https://example.org",
        licence=parse(licence),
        sources=(SOURCE,),
        runtime=(),
        build=(),
        shipped=True,
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def file(path: str, owner: str) -> File:
    data = path.encode()
    return File(path, owner, len(data), hashlib.sha1(data).hexdigest(), hashlib.sha256(data).hexdigest())


BILL = Bill(
    id="test",
    name="Test OS",
    version="1.2",
    epoch=1735689600,
    tool="colvert-0.1.0",
    packages=(
        package("a/gtk+-1_p2-r1", "|| ( MIT public-domain )", runtime=("a/lib-2",), build=("a/tool-3",)),
        package("a/lib-2", "GPL-3+ gcc-runtime-library-exception-3.1"),
        package("a/tool-3", "", sources=(), shipped=False, homepage="", description="", use=()),
    ),
    files=(
        file("usr/bin/gtk", "a/gtk+-1_p2-r1"),
        file("usr/lib/lib+ü.so", "a/lib-2"),
        file("usr/lib/os-release", "rule:os-release"),
    ),
    texts={"public-domain": "Do as you like.\n"},
)


def test_spdx_is_valid_and_whole() -> None:
    made = serialize(make_spdx(BILL))
    assert problems(made) == []
    document = json.loads(made)
    assert document["creationInfo"]["created"] == "2025-01-01T00:00:00Z"
    [text] = document["hasExtractedLicensingInfos"]
    assert (text["licenseId"], text["extractedText"]) == (
        "LicenseRef-Gentoo-public-domain",
        "Do as you like.\n",
    )
    kinds = [item["relationshipType"] for item in document["relationships"]]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "DESCRIBES": 1,
        "CONTAINS": 5,
        "GENERATED_FROM": 2,
        "DEPENDS_ON": 1,
        "BUILD_DEPENDENCY_OF": 1,
    }
    # the source of two packages stands there once
    assert [item["name"] for item in document["packages"]].count("a-1.tar.xz") == 1


def test_cyclonedx_is_valid_and_whole() -> None:
    made = serialize(make_cyclonedx(BILL))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(made.decode()) is None
    document = json.loads(made)
    gtk, lib, tool, release = document["components"]
    assert gtk["licenses"] == [
        {"expression": "MIT OR LicenseRef-Gentoo-public-domain", "acknowledgement": "declared"}
    ]
    assert (lib["scope"], tool["scope"]) == ("required", "excluded")
    assert release["name"] == "/usr/lib/os-release"
    assert [item["name"] for item in gtk["components"]] == ["/usr/bin/gtk"]
    assert {"name": "colvert:build-dependency", "value": tool["purl"]} in gtk["properties"]
    edges = {item["ref"]: item["dependsOn"] for item in document["dependencies"]}
    assert edges == {
        "image": sorted([gtk["purl"], lib["purl"]]),
        gtk["purl"]: [lib["purl"]],
        lib["purl"]: [],
        tool["purl"]: [],
    }


def test_both_say_twice_the_same_and_something_else_of_another_bill() -> None:
    other = replace(BILL, files=BILL.files[:2])
    for make, key in ((make_spdx, "documentNamespace"), (make_cyclonedx, "serialNumber")):
        assert serialize(make(BILL)) == serialize(make(BILL))
        assert re.fullmatch(r"urn:uuid:[0-9a-f-]{14}5[0-9a-f-]{21}", make(BILL)[key])
        assert make(BILL)[key] != make(other)[key]


@given(
    st.from_regex(r"[a-z]+[0-9]?(-[a-z]+)?", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9+_-]{0,9}", fullmatch=True),
    st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3})?[a-z]?(_(alpha|p)[0-9]*)?(-r[0-9])?", fullmatch=True),
)
def test_a_package_url_is_read_back(category: str, name: str, version: str) -> None:
    made = replace(BILL.packages[0], category=category, name=name, version=version).purl
    read = PackageURL.from_string(made)
    assert (read.type, read.namespace, read.name, read.version) == ("ebuild", category, name, version)
    assert read.to_string() == made


@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=8),
        st.binary(max_size=99),
        max_size=5,
    )
)
def test_the_files_of_a_tree(content: dict[str, bytes]) -> None:
    content = {name: data for name, data in content.items() if name not in (".", "..")}
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place)
        (tree / "usr").mkdir()
        (tree / "link").symlink_to("usr")
        for name, data in content.items():
            (tree / "usr" / name).write_bytes(data)
        owners = {"usr": "a/b-1", "link": "a/b-1", **{f"usr/{name}": "a/b-1" for name in content}}
        found = {file.path: file for file in read_files(tree, owners)}
    assert found.keys() == {f"usr/{name}" for name in content}
    for name, data in content.items():
        assert found[f"usr/{name}"].sha256 == hashlib.sha256(data).hexdigest()
        assert found[f"usr/{name}"].size == len(data)
