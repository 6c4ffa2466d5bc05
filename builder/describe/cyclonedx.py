"""CycloneDX 1.6 JSON of a bill of materials.

A package's files are components inside it. Packages that were only used to build have the scope
`excluded`; what only building needed is a property, since `dependsOn` does not tell the kinds apart.
"""

from __future__ import annotations

from builder.describe.licences import spdx
from builder.describe.sbom import Bill, Document, File, Package, identify
from builder.describe.spdx_ids import IDS

IMAGE = "image"


def make_cyclonedx(bill: Bill) -> Document:
    """The bill as a CycloneDX document."""
    owned = bill.owned()
    known = {package.cpv: package.purl for package in bill.packages}
    name, _, version = bill.tool.rpartition("-")
    head: Document = {"bomFormat": "CycloneDX", "specVersion": "1.6"}
    body: Document = {
        "version": 1,
        "metadata": {
            "timestamp": bill.created,
            "tools": {"components": [{"type": "application", "name": name, "version": version}]},
            "component": {
                "type": "operating-system",
                "bom-ref": IMAGE,
                "name": bill.name,
                "version": bill.version,
            },
        },
        "components": [
            *(_package(package, known, owned.get(package.cpv, [])) for package in bill.packages),
            *(_file(file) for file in owned.get("", [])),
        ],
        "dependencies": [
            {"ref": IMAGE, "dependsOn": sorted(item.purl for item in bill.packages if item.shipped)},
            *(
                {"ref": item.purl, "dependsOn": sorted(known[cpv] for cpv in item.runtime)}
                for item in bill.packages
            ),
        ],
    }
    return {**head, "serialNumber": f"urn:uuid:{identify({**head, **body})}", **body}


def _package(package: Package, known: dict[str, str], files: list[File]) -> Document:
    properties = [
        ("overlay", package.overlay),
        ("ebuild", package.ebuild),
        ("slot", package.slot),
        *(("use", flag) for flag in package.use),
        *(("build-dependency", known[cpv]) for cpv in package.build),
    ]
    component: Document = {
        "type": "library",
        "bom-ref": package.purl,
        "group": package.category,
        "name": package.name,
        "version": package.version,
        "description": package.description,
        "scope": "required" if package.shipped else "excluded",
        "licenses": _licences(package),
        "purl": package.purl,
        "externalReferences": _references(package),
        "properties": [_property(name, value) for name, value in properties],
        "components": [_file(file) for file in files],
    }
    return {key: value for key, value in component.items() if value}


def _licences(package: Package) -> list[Document]:
    said = spdx(package.licence)
    if said in IDS.values():
        return [{"license": {"id": said, "acknowledgement": "declared"}}]
    return [{"expression": said, "acknowledgement": "declared"}] if said else []


def _references(package: Package) -> list[Document]:
    found: list[Document] = []
    if package.homepage:
        found.append({"type": "website", "url": package.homepage})
    for source in package.sources:
        hashes = [
            {"alg": "SHA-512", "content": source.sha512},
            {"alg": "BLAKE2b-512", "content": source.blake2b},
        ]
        found += [
            {"type": "source-distribution", "url": uri, "comment": source.name, "hashes": hashes}
            for uri in source.uris
        ]
    return found


def _file(file: File) -> Document:
    component: Document = {
        "type": "file",
        "name": f"/{file.path}",
        "hashes": [{"alg": "SHA-1", "content": file.sha1}, {"alg": "SHA-256", "content": file.sha256}],
        "properties": [_property("size", str(file.size))],
    }
    if file.owner.startswith("rule:"):
        component["properties"].append(_property("rule", file.owner.removeprefix("rule:")))
    return component


def _property(name: str, value: str) -> Document:
    return {"name": f"colvert:{name}", "value": value}
