"""Keys of a project, in the directory that `colvert keys create` makes.

docs/howto/keys.md says what each key is for, and how one is replaced or revoked.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from builder.errors import Code, ColvertError, Location, printable
from builder.pipeline.files import hidden_from_git, write_atomic
from builder.pipeline.lock import held
from builder.signing.signature_list import (
    X509,
    Signature,
    authenticated,
    content_of,
    read_signatures,
    signature_lists,
    signed_at,
)
from builder.texts import quote
from builder.updates.keys import DEVELOPMENT, PublicKey, read_public

# name -> what it is for; the order is that of trust
CERTIFICATES: Mapping[str, str] = {
    "PK": "Platform Key: owns a machine's Secure Boot settings, signs changes of KEK",
    "KEK": "Key Exchange Key: signs changes of db and dbx",
    "db": "signs the boot loader and the UKI (Secure Boot)",
    "verity": "signs the root hash of the usr image (PKCS#7)",
}
RELEASE = "signs the update index and the release index (DSSE)"
# who signs each variable of the firmware
SIGNED_BY: Mapping[str, str] = {"PK": "PK", "KEK": "PK", "db": "KEK", "dbx": "KEK"}
RSA_BITS = 2048
# firmware and kernel look at no expiry: a certificate that outlives its machines says so openly
VALID = timedelta(days=365 * 30)
# a common name has at most 64 characters (RFC 5280, ub-common-name); " verity" is added to it
MAX_NAME = 64 - max(len(f" {each}") for each in CERTIFICATES)
_OWNERS = uuid.uuid5(uuid.NAMESPACE_DNS, "keys.colvert")
DBX = "dbx.auth"


@dataclass(frozen=True)
class ProjectKeys:
    """The public halves in a directory of keys; private ones are read when they sign."""

    directory: Path

    def certificate(self, name: str) -> x509.Certificate:
        """The present certificate of that name."""
        return read_certificate(self.directory / f"{name}.crt")

    def private(self, name: str) -> rsa.RSAPrivateKey:
        """The private half of a certificate."""
        path = self.directory / f"{name}.key"
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise unusable(path, "private key (PEM, PKCS#8, no password)") from error
        if not isinstance(key, rsa.RSAPrivateKey):
            raise unusable(path, "private RSA key")
        return key

    @property
    def release(self) -> PublicKey:
        """The public half of the key that signs indexes."""
        path = self.directory / "release.pem"
        try:
            return read_public(path.read_bytes(), Location(str(path)))
        except OSError as error:
            raise unusable(path, "public key (PEM)") from error

    def certificates(self, name: str) -> tuple[x509.Certificate, ...]:
        """The certificates of a variable: the present one and, beside it, those of earlier keys."""
        earlier = sorted(self.directory.glob(f"{name}-*.crt"))
        return (self.certificate(name), *map(read_certificate, earlier))

    def variables(self) -> dict[str, bytes]:
        """Firmware variables by name: signature lists, empty if nothing is revoked."""
        lists = {name: self._lists(name) for name in ("PK", "KEK", "db")}
        return {**lists, "dbx": signature_lists(self.revoked(), self.owner)}

    def _lists(self, name: str) -> bytes:
        # a machine has one owner: an earlier Platform Key is gone with its successor
        found = self.certificates(name)[: 1 if name == "PK" else None]
        return signature_lists([Signature.certificate(one) for one in found], self.owner)

    def revoked(self) -> tuple[Signature, ...]:
        """Revoked programs and certificates."""
        path = self.directory / DBX
        try:
            return read_signatures(content_of(path.read_bytes())) if path.exists() else ()
        except ValueError as error:
            raise unusable(path, "signed UEFI variable") from error

    @property
    def owner(self) -> uuid.UUID:
        """The owner that signature lists name, which firmware shows and nothing checks."""
        return uuid.uuid5(_OWNERS, fingerprint(self.certificate("PK")))

    def enrolment(self) -> dict[str, Path]:
        """The .auth files with which systemd-boot enrols these keys, by their names."""
        paths = (self.directory / f"{name}.auth" for name in SIGNED_BY)
        return {path.name: path for path in paths if path.exists()}


def read_certificate(path: Path) -> x509.Certificate:
    """A certificate in PEM."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise unusable(path, "certificate (PEM)") from error


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate."""
    return certificate.fingerprint(SHA256()).hex()


def create(directory: Path, name: str, now: datetime) -> ProjectKeys:
    """Make a project's keys in a directory that does not exist yet: all of it or nothing."""
    _check_name(name)
    if directory.exists():
        raise ColvertError(
            Code.USAGE,
            "the directory exists, and keys are never overwritten",
            where=Location(str(directory)),
            hint="choose a new directory; to replace a key, use colvert keys rotate",
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}."))  # mode 0700
    try:
        _fill(work, name, now)
        os.rename(work, directory)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return ProjectKeys(directory)


def _check_name(name: str) -> None:
    """Refuse what no certificate can hold: cryptography counts bytes of UTF-8."""
    hint = f"choose a name of 1 to {MAX_NAME} bytes with --name"
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise ColvertError(Code.USAGE, f"the name {quote(name)} is not UTF-8", hint=hint) from error
    if not name.strip() or printable(name) != name or "\t" in name:
        raise ColvertError(
            Code.USAGE, f"the name {quote(name)} is empty or has control characters", hint=hint
        )
    if size > MAX_NAME:
        what = f"the name {quote(name)} has {size} bytes, and a certificate holds {MAX_NAME}"
        raise ColvertError(Code.USAGE, what, hint=hint)


def _fill(work: Path, name: str, now: datetime) -> None:
    for each in CERTIFICATES:
        make_certificate(work, each, name, now)
    make_release_key(work)
    write_variables(ProjectKeys(work), now, ("PK", "KEK", "db"))
    (work / "README.md").write_text(_readme(name))


def make_certificate(directory: Path, which: str, name: str, now: datetime) -> None:
    """NAME.key and NAME.crt: an RSA key and its self-signed certificate."""
    key = rsa.generate_private_key(65537, RSA_BITS)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} {which}")])
    begin = now.replace(microsecond=0)
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + VALID)
        .add_extension(x509.BasicConstraints(False, None), critical=True)
        .add_extension(usage, critical=True)
        # the kernel finds a signer by it
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if which == "db":
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False
        )
    _write_private(directory / f"{which}.key", key)
    (directory / f"{which}.crt").write_bytes(builder.sign(key, SHA256()).public_bytes(Encoding.PEM))


def make_release_key(directory: Path) -> None:
    """release.key and release.pem."""
    key = Ed25519PrivateKey.generate()
    _write_private(directory / "release.key", key)
    (directory / "release.pem").write_bytes(PublicKey(key.public_key()).pem)


def _write_private(path: Path, key: rsa.RSAPrivateKey | Ed25519PrivateKey) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def write_variables(
    keys: ProjectKeys, now: datetime, names: Iterable[str], revoked: Sequence[Signature] = ()
) -> None:
    """The .auth files of these variables, signed now; none for an empty one, which firmware would refuse.

    Firmware takes only what is newer than what it has (UEFI 8.2.2), so a file that was made by a clock
    ahead of ours, or in this very second, is followed by one of a second later.
    """
    contents = {**keys.variables(), "dbx": signature_lists(revoked, keys.owner)}
    for name in names:
        if contents[name]:
            signer = SIGNED_BY[name]
            path = keys.directory / f"{name}.auth"
            signed = authenticated(
                name, contents[name], newer(path, now), keys.certificate(signer), keys.private(signer)
            )
            write_atomic(path, signed)


def newer(path: Path, now: datetime) -> datetime:
    """Now, or the first second in which firmware that has the .auth file takes another one."""
    try:
        return max(now, signed_at(path.read_bytes()) + timedelta(seconds=1))
    except FileNotFoundError:
        return now
    except (OSError, ValueError, OverflowError) as error:
        raise unusable(path, "signed variable") from error


class Line(NamedTuple):
    """Description of one key or revocation."""

    key: str
    sha256: str
    about: str


def describe(keys: ProjectKeys) -> list[Line]:
    """The public halves, present and earlier, and what is revoked."""
    lines: list[Line] = []
    for name, purpose in CERTIFICATES.items():
        present, *earlier = keys.certificates(name)
        lines.append(Line(name, fingerprint(present), purpose))
        lines += [Line(name, fingerprint(one), "an earlier key") for one in earlier]
    lines.append(Line("release", keys.release.id, RELEASE))
    for path in sorted(keys.directory.glob("release-*.pem")):
        earlier_key = read_public(path.read_bytes(), Location(str(path)))
        lines.append(Line("release", earlier_key.id, "an earlier key"))
    for one in keys.revoked():
        digest = hashlib.sha256(one.data).hexdigest() if one.type == X509 else one.data.hex()
        lines.append(Line("dbx", digest, "a certificate" if one.type == X509 else "a program"))
    return lines


def development_keys(state: Path, now: datetime) -> ProjectKeys:
    """The keys of this checkout, made at first use."""
    folder = hidden_from_git(state) / "keys"
    folder.mkdir(mode=0o700, exist_ok=True)
    directory = folder / DEVELOPMENT
    with held(folder / ".lock"):  # of two that come at once the first one makes them
        return ProjectKeys(directory) if directory.exists() else create(directory, "Colvert development", now)


def utc_now() -> datetime:
    """The present: keys are no build's output, and a signed variable has to be later than the one before."""
    return datetime.now(UTC).replace(microsecond=0)


def unusable(path: Path, what: str) -> ColvertError:
    return ColvertError(
        Code.USAGE,
        f"not a {what}",
        where=Location(str(path)),
        hint="create a set of keys with colvert keys create DIR",
    )


def _readme(name: str) -> str:
    rows = [f"| `{each}.key`, `{each}.crt` | {purpose} |" for each, purpose in CERTIFICATES.items()]
    return f"""# The keys of {name}

| file | purpose |
| --- | --- |
{chr(10).join(rows)}
| `release.key`, `release.pem` | {RELEASE} |
| `PK.auth`, `KEK.auth`, `db.auth` | the certificates as signed firmware variables; public |
| `dbx.auth` | revoked programs and keys, if any; public |

`.key` files are secret. `PK.key` and `KEK.key` are needed only when a key is replaced or something is
revoked: keep them offline, in two places, and not with the others. `db.key`, `verity.key` and `release.key`
sign each release: keep them on a token (PKCS#11) or in a KMS, or offline as well. No build needs any of them.

Without `PK.key` and `KEK.key`, the keys of machines in use can only be changed by hand, in each
machine's firmware. Without `release.key`, no update for them can be signed.
"""
