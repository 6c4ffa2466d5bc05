"""SPDX 2.3 JSON of a bill of materials.

The image is a package that contains the packages, those contain their files, and each was
generated from its sources, which are packages as well, since only such have checksums.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

from builder.describe.licences import extracted, reference, spdx
from builder.describe.sbom import Bill, Document, File, Package, Source, identify

DOCUMENT = "SPDXRef-DOCUMENT"
IMAGE = "SPDXRef-Image"
UNKNOWN = "NOASSERTION"


def make_spdx(bill: Bill) -> Document:
    """The bill as an SPDX document."""
    owned = bill.owned()
    head: Document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": f"{bill.id}-{bill.version}",
        "creationInfo": {"created": bill.created, "creators": [f"Tool: {bill.tool}"]},
    }
    body: Document = {
        "hasExtractedLicensingInfos": _texts(bill),
        "packages": [
            _image(bill, owned.get("", [])),
            *(_package(package, owned.get(package.cpv, [])) for package in bill.packages),
            *(_source(source) for source in _sources(bill)),
        ],
        "files": [_file(file) for file in bill.files],
        "relationships": list(_relationships(bill, owned)),
    }
    return {**head, "documentNamespace": f"urn:uuid:{identify({**head, **body})}", **body}


def _name(kind: str, text: str) -> str:
    """An id: letters, digits, dots and hyphens only, and no two texts the same."""
    return f"SPDXRef-{kind}-" + re.sub(r"[^A-Za-z0-9.-]", lambda hit: f"-{ord(hit[0]):x}-", text)


def _package_name(cpv: str) -> str:
    return _name("Package", cpv)


def _file_name(file: File) -> str:
    return _name("File", hashlib.sha256(file.path.encode()).hexdigest()[:24])


def _source_name(source: Source) -> str:
    return _name("Source", source.sha512[:24])


def _sources(bill: Bill) -> list[Source]:
    """Every source once: two packages may be made of the same."""
    found = {_source_name(source): source for package in bill.packages for source in package.sources}
    return sorted(found.values(), key=lambda source: (source.name, source.sha512))


def _verification(files: Iterable[File]) -> dict[str, str]:
    """SPDX 2.3, 7.9: one SHA-1 over the sorted SHA-1s of the files."""
    joined = "".join(sorted(file.sha1 for file in files))
    return {"packageVerificationCodeValue": hashlib.sha1(joined.encode(), usedforsecurity=False).hexdigest()}


def _image(bill: Bill, files: list[File]) -> Document:
    return {
        "SPDXID": IMAGE,
        "name": bill.name,
        "versionInfo": bill.version,
        "primaryPackagePurpose": "OPERATING_SYSTEM",
        "downloadLocation": UNKNOWN,
        "supplier": UNKNOWN,
        "filesAnalyzed": True,
        "packageVerificationCode": _verification(files),
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN,
        "licenseInfoFromFiles": [UNKNOWN],
        "copyrightText": UNKNOWN,
    }


def _package(package: Package, files: list[File]) -> Document:
    analysed: Document = {"filesAnalyzed": bool(files)}
    if files:
        analysed |= {"packageVerificationCode": _verification(files), "licenseInfoFromFiles": [UNKNOWN]}
    upstream = [source.upstream for source in package.sources if source.upstream]
    use = " ".join(package.use) or "none"
    optional = {"description": package.description, "homepage": package.homepage}
    return {
        "SPDXID": _package_name(package.cpv),
        "name": f"{package.category}/{package.name}",
        "versionInfo": package.version,
        "downloadLocation": upstream[0] if upstream else UNKNOWN,
        "supplier": UNKNOWN,
        **analysed,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": spdx(package.licence) or "NONE",
        "copyrightText": UNKNOWN,
        **{key: value for key, value in optional.items() if value},
        "sourceInfo": f"{package.ebuild} of the overlay {package.overlay}, slot {package.slot}, USE: {use}",
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": package.purl,
            }
        ],
    }


def _source(source: Source) -> Document:
    more = [uri for uri in source.uris if uri != source.upstream]
    return {
        "SPDXID": _source_name(source),
        "name": source.name,
        "packageFileName": source.name,
        "primaryPackagePurpose": "SOURCE",
        "downloadLocation": source.upstream or UNKNOWN,
        "supplier": UNKNOWN,
        "filesAnalyzed": False,
        "checksums": [
            {"algorithm": "SHA512", "checksumValue": source.sha512},
            {"algorithm": "BLAKE2b-512", "checksumValue": source.blake2b},
        ],
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN,
        "copyrightText": UNKNOWN,
        "sourceInfo": "; ".join([f"{source.size} bytes", *(f"also at {uri}" for uri in more)]),
    }


def _file(file: File) -> Document:
    return {
        "SPDXID": _file_name(file),
        "fileName": f"./{file.path}",
        "checksums": [
            {"algorithm": "SHA1", "checksumValue": file.sha1},
            {"algorithm": "SHA256", "checksumValue": file.sha256},
        ],
        "licenseConcluded": UNKNOWN,
        "licenseInfoInFiles": [UNKNOWN],
        "copyrightText": UNKNOWN,
        **({"comment": file.owner} if file.owner.startswith("rule:") else {}),
    }


def _texts(bill: Bill) -> list[Document]:
    needed = sorted({name for package in bill.packages for name in extracted(package.licence)})
    return [
        {"licenseId": reference(name), "name": name, "extractedText": bill.texts.get(name) or UNKNOWN}
        for name in needed
    ]


def _relationships(bill: Bill, owned: dict[str, list[File]]) -> Iterator[Document]:
    yield _relation(DOCUMENT, "DESCRIBES", IMAGE)
    for file in owned.get("", []):
        yield _relation(IMAGE, "CONTAINS", _file_name(file))
    for package in bill.packages:
        name = _package_name(package.cpv)
        if package.shipped:
            yield _relation(IMAGE, "CONTAINS", name)
        for file in owned.get(package.cpv, []):
            yield _relation(name, "CONTAINS", _file_name(file))
        for source in package.sources:
            yield _relation(name, "GENERATED_FROM", _source_name(source))
        for cpv in package.runtime:
            yield _relation(name, "DEPENDS_ON", _package_name(cpv))
        for cpv in package.build:
            yield _relation(_package_name(cpv), "BUILD_DEPENDENCY_OF", name)


def _relation(subject: str, kind: str, other: str) -> Document:
    return {"spdxElementId": subject, "relationshipType": kind, "relatedSpdxElement": other}
