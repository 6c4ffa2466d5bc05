"""Secure Boot: our files against the tools of others, and what a manifest puts on the ESP."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from builder.arch import DEFAULT
from builder.boot import systemd_boot
from builder.boot.systemd_boot import ENROLL, KEYS, LOADER_CONF
from builder.build.disk import DISK
from builder.errors import ColvertError
from builder.formats.gpt import ALIGNMENT
from builder.sandbox.sdk import Sdk
from builder.signing.authenticode import digest_program
from builder.signing.project_keys import SIGNED_BY, ProjectKeys, create, utc_now
from builder.signing.rotation import revoke
from builder.signing.signature_list import ATTRIBUTES, VENDORS, Signature
from builder.tools.workspace import bench
from tests.build.places import workplace
from tests.releases import Variant
from tests.signed import sign

LOADER = systemd_boot.LOADER.program(DEFAULT)
SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")


place = pytest.fixture(workplace, scope="module")


@pytest.fixture(scope="module")
def keys(place: Path) -> ProjectKeys:
    made = create(place / "keys", "Ours", utc_now())
    revoke(made, Signature.digest(bytes(32)), utc_now())
    return made


def test_the_digest_is_the_one_that_signers_sign(sdk: Sdk, place: Path, keys: ProjectKeys) -> None:
    program = sdk.root / LOADER
    digest = digest_program(program)
    signed = sign(program, place / "signed.efi", keys, sdk.root)
    assert digest not in program.read_bytes()
    assert digest in signed.read_bytes()
    assert digest_program(signed) == digest


def test_another_byte_is_another_digest(sdk: Sdk, place: Path) -> None:
    data = bytearray((sdk.root / LOADER).read_bytes())
    digest = digest_program(sdk.root / LOADER)
    data[len(data) // 2] ^= 1
    (place / "changed.efi").write_bytes(data)
    assert digest_program(place / "changed.efi") != digest


def _wrapped(content: bytes, tag: int) -> bytes:
    """A DER element with a two-byte length."""
    return bytes((tag, 0x82)) + len(content).to_bytes(2, "big") + content


@pytest.mark.parametrize("name", SIGNED_BY)
def test_openssl_finds_each_variable_signed(sdk: Sdk, place: Path, keys: ProjectKeys, name: str) -> None:
    auth = (keys.directory / f"{name}.auth").read_bytes()
    (length,) = struct.unpack_from("<I", auth, 16)
    what = name.encode("utf-16-le") + VENDORS[name].bytes_le + struct.pack("<I", ATTRIBUTES) + auth[:16]
    inputs = {"signed": place / f"{name}.der", "what": place / f"{name}.what", "ca": place / f"{name}.ca"}
    inputs["signed"].write_bytes(_wrapped(SIGNED_DATA + _wrapped(auth[40 : 16 + length], 0xA0), 0x30))
    inputs["what"].write_bytes(what + auth[16 + length :])
    for signer in ("PK", "KEK"):
        inputs["ca"].write_bytes((keys.directory / f"{signer}.crt").read_bytes())
        with bench(place / "verified", sdk.root, inputs) as table:
            argv = (
                "openssl", "smime", "-verify", "-binary", "-inform", "DER", "-in", table.source("signed"),
                "-content", table.source("what"), "-certfile", table.source("ca"), "-nointern", "-noverify",
                "-out", table.target("verified"),
            )  # fmt: skip
            if signer == SIGNED_BY[name]:
                table.run(*argv)
            else:
                with pytest.raises(ColvertError):
                    table.run(*argv)


def test_keys_are_on_the_esp_only_where_the_manifest_says_so(place: Path, keys: ProjectKeys) -> None:
    files = [str(path) for path in keys.enrolment().values()]
    digests = set()
    for enroll in ([], files):
        made = Variant("1", {}, {"keys": {"enroll": enroll}}).make(place, "disk")
        digests.add(made.image.disk.digest)
        with bench(place / "read", made.session.sdk.root, {"disk": made.path("disk", DISK)}) as table:
            esp = f"{table.source('disk')}@@{ALIGNMENT}"
            conf = table.run("mtype", "-i", esp, "::/loader/loader.conf").stdout
            assert conf == LOADER_CONF + (ENROLL if enroll else "")
            if enroll:
                for name, path in keys.enrolment().items():
                    table.run("mcopy", "-i", esp, f"::/{KEYS}/{name}", table.target(name))
                    assert (table.work / name).read_bytes() == path.read_bytes()
            else:
                with pytest.raises(ColvertError):
                    table.run("mdir", "-i", esp, f"::/{KEYS}")
    assert len(digests) == 2
