"""Trust root: the public keys of a project, and the verification of signatures by them.

A key NAME is the file NAME.crt (X.509: it signs programs and root hashes) or NAME.pem (a bare
public key: it signs indexes). One that it replaced, or will be replaced by, is NAME-ID, where ID is
the beginning of its own SHA-256. Where the policy says that several people hold the key, each has one
of its own, NAME-HOLDER, and no other counts. What lies in `revoked/` is refused, wherever else it lies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import Certificate, load_pem_x509_certificate

from builder.errors import Code, ColvertError, Location, raise_all
from builder.signing.authenticode import content as program
from builder.signing.pkcs7 import DATA, Content, signers
from builder.signing.policy import FILE as POLICY_FILE
from builder.signing.policy import Policy, read_policy
from builder.signing.request import Item, Kind, Signature
from builder.updates.dsse import pae
from builder.updates.keys import PublicKey, read_public

REVOKED = "revoked"
SUFFIXES = (".crt", ".pem")
# as `colvert keys rotate` calls a key that it replaced
ID_LENGTH = 16


@dataclass(frozen=True)
class Known:
    """One public key of the trust root."""

    name: str
    key: PublicKey
    certificate: Certificate | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """What may stand behind its name: the beginning of the key's SHA-256, or the certificate's."""
        certificate = self.certificate
        digests = [self.key.id] + ([certificate.fingerprint(SHA256()).hex()] if certificate else [])
        return tuple(digest[:ID_LENGTH] for digest in digests)


@dataclass(frozen=True)
class Trust:
    """Trusted keys, and revoked ones."""

    known: tuple[Known, ...]
    revoked: frozenset[str] = frozenset()
    policy: Policy = field(default_factory=Policy)

    def named(self, name: str) -> list[Known]:
        """The keys that count as NAME."""
        holders = self.policy.holders(name)
        if holders:
            names = {f"{name}-{holder}" for holder in holders}
            return [one for one in self._left if one.name in names]
        return [one for one in self._left if one.name in (name, *(f"{name}-{each}" for each in one.ids))]

    def certificates(self, name: str) -> list[Certificate]:
        return [one.certificate for one in self.named(name) if one.certificate is not None]

    def bare(self, name: str = "") -> list[Known]:
        """The keys of indexes: those called NAME, or all."""
        found = self.named(name) if name else self._left
        return [one for one in found if one.certificate is None]

    @property
    def _left(self) -> list[Known]:
        return [one for one in self.known if one.key.id not in self.revoked]

    def fingerprint(self, keyid: str) -> str:
        """SHA-256 of the certificate of a key."""
        found = next(one.certificate for one in self._left if one.certificate and one.key.id == keyid)
        return found.fingerprint(SHA256()).hex()

    def check(self, item: Item, signature: Signature) -> None:
        """Refuse a signature that is not by a key that the item wants."""
        # by nobody else besides: who has one of two certificates would refuse the two in one
        if self._signers(item, signature.data) == {signature.keyid}:
            return
        if signature.keyid in self.revoked:
            raise refused(item, f"the key {signature.keyid[:16]} is revoked")
        if signature.keyid in {one.key.id for one in self._left}:
            if signature.keyid in {one.key.id for one in self._fitting(item)}:
                raise refused(item, "the signature does not verify: it is damaged, or of other content")
            raise refused(item, f"it is signed by another key than {item.key}")
        raise refused(item, f"the key {signature.keyid[:16]} is not in the trust root")

    def _fitting(self, item: Item) -> list[Known]:
        bare = item.kind is Kind.DSSE
        return [one for one in self.named(item.key) if (one.certificate is None) == bare]

    def _signers(self, item: Item, data: bytes) -> set[str]:
        """The ids of the wanted keys that made the signature."""
        fitting = self._fitting(item)
        if item.kind is Kind.DSSE:
            return {one.key.id for one in fitting if one.key.verifies(item.message, data)}
        what = program(item.digest) if item.kind is Kind.AUTHENTICODE else root_hash(item.digest)
        try:
            return {key_id(one) for one in signers(data, what, self.certificates(item.key))}
        except ColvertError as error:
            raise refused(item, error.what) from error


def root_hash(digits: str) -> Content:
    """The signed bytes of a root hash: its digits, as systemd and the kernel require."""
    return Content(DATA, digits.encode())


def key_id(certificate: Certificate) -> str:
    key = certificate.public_key()
    assert isinstance(key, RSAPublicKey)
    return PublicKey(key).id


def envelope_signers(
    payload_type: str, payload: bytes, signatures: Iterable[bytes], known: Iterable[Known]
) -> set[str]:
    """The ids of the known keys that signed an envelope."""
    message, given = pae(payload_type, payload), list(signatures)
    return {one.key.id for one in known if any(one.key.verifies(message, data) for data in given)}


def refused(item: Item, why: str) -> ColvertError:
    return ColvertError(Code.SIGNATURE_INVALID, f"{item.name}: {why}")


def read_trust(places: Sequence[Path]) -> Trust:
    """The trust root of files and directories."""
    known: list[Known] = []
    revoked: set[str] = set()
    policy = Policy()
    for place in places:
        if not place.exists():
            raise ColvertError(Code.USAGE, "trust root not found", where=Location(str(place)))
        known += [read_known(path) for path in _files(place)]
        revoked |= {read_known(path).key.id for path in _files(place / REVOKED)}
        if (place / POLICY_FILE).is_file():
            policy = read_policy(place / POLICY_FILE)
    if not known:
        where = Location(str(places[0])) if places else None
        raise ColvertError(Code.USAGE, "the trust root has no keys (NAME.crt, NAME.pem)", where=where)
    trust = Trust(tuple(known), frozenset(revoked), policy)
    raise_all(
        [_two_keys(one) for key in policy.keys if policy.holders(key) for one in _ambiguous(trust.named(key))]
    )
    return trust


def _ambiguous(known: Sequence[Known]) -> list[str]:
    """Holders that would count more than once; places of trust roots may repeat each other."""
    keys = {(one.name, one.certificate is None, one.key.id) for one in known}
    names = [(name, bare) for name, bare, _ in keys]
    return sorted({name for name, bare in names if names.count((name, bare)) > 1})


def _two_keys(name: str) -> ColvertError:
    return ColvertError(Code.USAGE, f"duplicate key {name} in the trust root")


def _files(place: Path) -> list[Path]:
    if place.is_dir():
        return sorted(path for path in place.iterdir() if path.suffix in SUFFIXES and path.is_file())
    return [place] if place.is_file() else []


def read_known(path: Path) -> Known:
    """A certificate or a public key."""
    data = path.read_bytes()
    if b"BEGIN CERTIFICATE" in data:
        certificate = read_certificate(path)
        key = certificate.public_key()
        assert isinstance(key, RSAPublicKey)
        return Known(path.stem, PublicKey(key), certificate)
    return Known(path.stem, read_public(data, Location(str(path))))


def read_certificate(path: Path) -> Certificate:
    """An RSA certificate in PEM."""
    try:
        certificate = load_pem_x509_certificate(path.read_bytes())
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        where = Location(str(path))
        what = "not a PEM certificate, or one with an unknown algorithm"
        raise ColvertError(Code.USAGE, what, where=where) from error
    if not isinstance(key, RSAPublicKey) or key.key_size < 2048:
        what = "a certificate for programs and root hashes requires an RSA key of at least 2048 bits"
        raise ColvertError(Code.USAGE, what, where=Location(str(path)))
    return certificate
