"""Keys that sign releases, and the trusted keys of machines.

A development key is made for each checkout at first use. It is good for trying things out:
whoever has the checkout can sign all that an image of that checkout accepts.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from builder.errors import Code, ColvertError, Location
from builder.pipeline.files import hidden_from_git, write_once

DEVELOPMENT = "development"
MIN_RSA_BITS = 2048

_Public = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey
_Private = Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey


@dataclass(frozen=True)
class PublicKey:
    """The public half of a key."""

    key: _Public

    @property
    def id(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo."""
        der = self.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(der).hexdigest()

    @property
    def pem(self) -> bytes:
        return self.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether this key made the signature."""
        try:
            if isinstance(self.key, Ed25519PublicKey):
                self.key.verify(signature, message)
            elif isinstance(self.key, EllipticCurvePublicKey):
                self.key.verify(signature, message, ECDSA(SHA256()))
            else:
                self.key.verify(signature, message, PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class Signer:
    """A private key that is at hand."""

    key: _Private

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.key.public_key())

    @property
    def id(self) -> str:
        return self.public.id

    def sign(self, message: bytes) -> bytes:
        if isinstance(self.key, RSAPrivateKey):
            return self.key.sign(message, PKCS1v15(), SHA256())
        if isinstance(self.key, EllipticCurvePrivateKey):
            return self.key.sign(message, ECDSA(SHA256()))
        return self.key.sign(message)


def unfit(key: object) -> str:
    """Why a key, public or private, cannot sign what machines check; empty where it can."""
    if not isinstance(key, _Public | _Private):
        return "unsupported key type: only Ed25519, P-256 and RSA keys are supported"
    curve = getattr(key, "curve", None)
    if curve is not None and not isinstance(curve, SECP256R1):
        return f"unsupported curve {curve.name}: only P-256 and Ed25519 are supported"
    if isinstance(key, RSAPublicKey | RSAPrivateKey) and key.key_size < MIN_RSA_BITS:
        return f"an RSA key requires at least {MIN_RSA_BITS} bits, and this key has {key.key_size}"
    return ""


def read_public(pem: bytes, where: Location) -> PublicKey:
    """A public key in PEM (SubjectPublicKeyInfo) of a kind that machines know."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unusable("not a PEM public key", where) from error
    why = unfit(key)
    if why:
        raise _unusable(why, where)
    assert isinstance(key, _Public)
    return PublicKey(key)


def _unusable(what: str, where: Location) -> ColvertError:
    return ColvertError(
        Code.MANIFEST_INVALID,
        what,
        where=where,
        hint="extract a public key with openssl pkey -in PRIVATE.pem -pubout -out PUBLIC.pem",
    )


def read_private(pem: bytes, where: Location, password: bytes | None = None) -> Signer:
    """A private key in PEM; one that is encrypted and has no password here is a TypeError."""
    try:
        key = load_pem_private_key(pem, password)
    except (ValueError, UnsupportedAlgorithm) as error:
        what = "wrong passphrase" if password is not None else "not a PEM private key"
        raise ColvertError(Code.USAGE, what, where=where) from error
    why = unfit(key)
    if why:
        raise ColvertError(Code.USAGE, why, where=where)
    assert isinstance(key, _Private)
    return Signer(key)


def development_key(state: Path) -> Signer:
    """The key of this checkout, made at first use and kept in its state directory."""
    path = hidden_from_git(state) / "keys" / "release.pem"
    if not path.exists():
        new = Ed25519PrivateKey.generate()
        write_once(path, new.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    try:
        return read_private(path.read_bytes(), Location(str(path)))
    except (ColvertError, TypeError) as error:
        raise ColvertError(
            Code.USAGE,
            "the development key of this checkout is damaged",
            where=Location(str(path)),
            hint=f"rm {path} (the next build creates a new one, which machines of older builds do not trust)",
        ) from error
