"""Small releases with the real formats: an EFI program of a kilobyte, a /usr of some blocks, real keys."""

from __future__ import annotations

import hashlib
import shutil
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509 import CertificateBuilder, Name, NameAttribute
from cryptography.x509.oid import NameOID

from builder.arch import X86_64
from builder.errors import Code, ColvertError
from builder.formats.hashtree import BLOCK, PER_BLOCK, SIGNATURE, SUPERBLOCK
from builder.pipeline.key import digest_bytes
from builder.pipeline.lock import held
from builder.signing import authenticode
from builder.signing.attach import LOCK, Attaching, BootSigned, Done, Missing
from builder.signing.boot_signatures import LOADER_ITEM, UKI_ITEM, USR_ROOT_HASH, BootSignatures
from builder.signing.phases import Build, begin, go_on, read_build
from builder.signing.request import Request, read_request, to_text
from builder.signing.sign import Holder, sign_items, wanted
from builder.signing.trust import Trust, read_certificate, read_trust
from builder.tools.verity import signature_partition
from builder.updates.contents import (
    REQUEST,
    ROOT_HASH,
    ROOT_HASH_SIGNATURE,
    VERITY_SIGNATURE,
    KeyNames,
)
from builder.updates.index import File, Index, Part, file_name
from builder.updates.keys import Signer
from builder.updates.parts import SIGNATURE as SIGNATURE_PART
from builder.verify.release import Report, Verifier

IMAGE = "acme"
NAMES = ("db", "verity", "release")
FRAME = b"\x28\xb5\x2f\xfd\xa0"  # zstd: one segment, the content's size in four bytes
MAX_RAW = 1 << 17


@cache
def private(name: str) -> Signer:
    """A key that is the same for all tests of one run: `release...` Ed25519, `ec...` P-256, others RSA."""
    if name.startswith("release"):
        return Signer(ed25519.Ed25519PrivateKey.generate())
    if name.startswith("ec"):
        return Signer(ec.generate_private_key(ec.SECP256R1()))
    return Signer(rsa.generate_private_key(public_exponent=65537, key_size=2048))


@cache
def certificate_pem(name: str) -> bytes:
    key, subject = private(name).key, Name([NameAttribute(NameOID.COMMON_NAME, f"Test {name}")])
    assert isinstance(key, rsa.RSAPrivateKey)
    made = CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    made = made.serial_number(int(hashlib.sha256(name.encode()).hexdigest()[:30], 16))
    made = made.not_valid_before(datetime(2026, 1, 1)).not_valid_after(datetime(2046, 1, 1))
    return made.sign(key, SHA256()).public_bytes(Encoding.PEM)


def write_keys(place: Path, names: Sequence[str] = NAMES, *, private_too: bool = True) -> Path:
    """A project's key directory."""
    place.mkdir(parents=True, exist_ok=True)
    for name in names:
        one = private(name)
        if isinstance(one.key, rsa.RSAPrivateKey):
            (place / f"{name}.crt").write_bytes(certificate_pem(name))
        else:
            public = one.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            (place / f"{name}.pem").write_bytes(public)
        if private_too:
            data = one.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            (place / f"{name}.key").write_bytes(data)
    return place


def program(sections: dict[str, bytes], size: int = 0) -> bytes:
    """A PE32+ program with these sections, and `size` bytes behind them."""
    header, optional = 0x80, 0x80 + 24
    table = optional + 240
    at = 0x400
    rows, bodies = b"", b""
    for name, content in sections.items():
        filled = content + bytes(-len(content) % 512)
        rows += struct.pack("<8sIIII16x", name.encode(), len(content), 0x1000, len(filled), at)
        bodies += filled
        at += len(filled)
    data = bytearray(0x400)
    data[:2], data[60:64] = b"MZ", struct.pack("<I", header)
    data[header : header + 24] = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, 240, 0)
    struct.pack_into("<H", data, optional, 0x20B)
    struct.pack_into("<I", data, optional + 108, 16)
    data[table : table + len(rows)] = rows
    return bytes(data) + bodies + b"\x5a" * size


def raw_frame(content: bytes) -> bytes:
    """A zstd frame (RFC 8878) of raw blocks."""
    blocks = [content[at : at + MAX_RAW] for at in range(0, len(content), MAX_RAW)] or [b""]
    made = FRAME + struct.pack("<I", len(content))
    for number, block in enumerate(blocks):
        made += struct.pack("<I", len(block) << 3 | (number == len(blocks) - 1))[:3] + block
    return made


def read_frame(source: Path, out: Path, limit: int) -> Path:
    """What `raw_frame` made; anything else comes out as it is, and so is not what it should be."""
    data = source.read_bytes()
    found, at = b"", len(FRAME) + 4
    while at < len(data):
        size = int.from_bytes(data[at : at + 3], "little") >> 3
        found += data[at + 3 : at + 3 + size]
        at += 3 + size
    if len(found) > limit:
        raise ColvertError(Code.COMMAND_FAILED, f"{source.name} holds more than {limit} bytes")
    out.write_bytes(found)
    return out


def hash_tree(data: bytes, salt: bytes) -> tuple[bytes, str]:
    """dm-verity's hash tree and its root hash."""
    level = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
    blocks = len(level)
    levels: list[bytes] = []
    while True:
        digests = [hashlib.sha256(salt + block).digest() for block in level]
        if len(digests) == 1 and levels:
            break
        packed = b"".join(digests)
        packed += bytes(-len(packed) % BLOCK)
        levels.insert(0, packed)
        level = [packed[at : at + BLOCK] for at in range(0, len(packed), BLOCK)]
    assert PER_BLOCK * 32 == BLOCK
    top = struct.pack(
        SUPERBLOCK, SIGNATURE, 1, 1, bytes(16), b"sha256", BLOCK, BLOCK, blocks, len(salt), salt
    )
    return top + bytes(BLOCK - len(top)) + b"".join(levels), digests[0].hex()


@dataclass(frozen=True)
class Project:
    """A release and who signs it."""

    place: Path
    keys: Path
    version: str

    @property
    def trust(self) -> Trust:
        return read_trust([self.keys])

    @property
    def request(self) -> Request:
        return read_request(self.place / REQUEST)

    def sign(self, *names: str, out: str = "signatures.json", as_name: dict[str, str] | None = None) -> Path:
        """What `colvert sign` does with these keys; `as_name` says which name of the request a key has."""
        known = as_name or {}
        holders = {known.get(name, name): self.holder(name, known.get(name, name)) for name in names}
        items = wanted(self.request, holders)
        path = self.place.parent / out
        path.write_bytes(to_text(sign_items(self.request, items, holders)))
        return path

    def holder(self, name: str, as_name: str) -> Holder:
        path = self.keys / f"{name}.crt"
        return Holder(as_name, private(name), read_certificate(path) if path.is_file() else None)

    def attach(
        self, *files: Path, assemble: Callable[..., None] | None = None, own: Signer | None = None
    ) -> Missing | Done:
        """What `colvert attach` does, with a small assembly in place of the build's stages."""
        build = read_build(self.place)
        attaching = Attaching(self.place, self.trust, own)
        with held(self.place / LOCK):
            outcome = attaching.take(files)
            while isinstance(outcome, BootSigned):
                (assemble or self.assemble)(build, outcome.request, outcome.signatures)
                go_on(build, self.place, own)
                outcome = attaching.take([])
            return outcome

    def missing(self, *files: Path) -> tuple[str, ...]:
        """What still lacks signatures once these are attached."""
        outcome = self.attach(*files)
        assert isinstance(outcome, Missing)
        return outcome.lines

    def sign_all(self) -> Project:
        """Both phases."""
        assert isinstance(self.attach(self.sign("db", "verity")), Missing)
        assert self.attach(self.sign("release")) == Done()
        return self

    def verify(self) -> Report:
        return Verifier(self.place, self.trust, read_frame).run()

    def broken(self) -> set[str]:
        """The places of all that does not hold."""
        return {str(error.where) for error in self.verify().errors}

    def assemble(self, build: Build, request: Request, signatures: BootSignatures) -> None:
        """What the stages do, in small: the boot files with signatures, and what is made of them."""
        boot(self.place, build, signatures)
        update(self.place, build)


def make(tmp_path: Path, version: str = "1.0.0", names: Sequence[str] = NAMES) -> Project:
    """A release as a build leaves it, and its keys."""
    place = tmp_path / version
    usr = hashlib.shake_128(f"usr {version}".encode()).digest(BLOCK * 200)
    tree, root_hash = hash_tree(usr, b"salt")
    (place / "qemu").mkdir(parents=True)
    (place / "qemu" / f"{IMAGE}.qcow2").write_bytes(usr[:5000])
    sources = place / ".sources"
    sources.mkdir()
    (sources / "usr").write_bytes(usr)
    (sources / "verity").write_bytes(tree)
    build = Build(
        place="unused", manifest="unused", overrides={}, state="unused", deltas_from=[], image_id=IMAGE,
        architecture="x86_64", version=version, created=1_790_000_000, root_hash=root_hash,
        keys=KeyNames(usr="verity", secure_boot="db", release="release"),
    )  # fmt: skip
    boot(place, build, BootSignatures())
    update(place, build)
    begin(build, place, None)
    return Project(place, write_keys(tmp_path / "keys", names), version)


def boot(place: Path, build: Build, signatures: BootSignatures) -> None:
    """boot/ with the signatures that are there."""
    folder = place / "boot"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    uki = program(
        {
            ".osrel": f"IMAGE_ID={IMAGE}\nIMAGE_VERSION={build.version}\n".encode(),
            ".cmdline": f"usrhash={build.root_hash} quiet".encode(),
            ".linux": f"kernel {build.version}".encode(),
        }
    )
    for name, data, item in (
        (f"{IMAGE}_{build.version}.efi", uki, UKI_ITEM),
        (X86_64.loader, program({".text": b"loader"}, size=3), LOADER_ITEM),
    ):
        own = signatures.programs.get(item, ())
        whole = authenticode.attach(authenticode.parse_pe(data), own) if own else data
        (folder / name).write_bytes(whole)
    (folder / ROOT_HASH).write_text(build.root_hash)
    if signed := signatures.root_hashes.get(USR_ROOT_HASH):
        (folder / ROOT_HASH_SIGNATURE).write_bytes(signed.signature)
        partition = signature_partition(build.root_hash, signed.certificate, signed.signature)
        (folder / VERITY_SIGNATURE).write_bytes(partition)


def update(place: Path, build: Build) -> None:
    """update/ with its index unsigned."""
    folder, sources = place / "update", place / ".sources"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    contents = {"usr": (sources / "usr").read_bytes(), "verity": (sources / "verity").read_bytes(),
                "uki": (place / "boot" / f"{IMAGE}_{build.version}.efi").read_bytes()}  # fmt: skip
    parts = {}
    signature = place / "boot" / VERITY_SIGNATURE
    if signature.is_file():
        contents[SIGNATURE_PART] = signature.read_bytes()
    for name, content in contents.items():
        frame = raw_frame(content)
        file = File(name=file_name(digest_bytes(frame)), size=len(frame), sha256=digest_bytes(frame))
        (folder / file.name).write_bytes(frame)
        parts[name] = Part(size=len(content), sha256=digest_bytes(content), files=[file])
    index = Index(
        image_id=IMAGE, architecture="x86_64", channel="stable", version=build.version, from_at_least="0",
        created=build.created, expires=1 << 33, root_hash=build.root_hash, parts=parts,
    )  # fmt: skip
    (folder / "index.payload.json").write_bytes(index.payload())
