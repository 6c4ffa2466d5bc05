"""Signers: a private key in a PEM file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from builder.errors import Code, ColvertError, Location
from builder.release.keys import MIN_RSA_BITS, PublicKey
from builder.release.signers import Ask

_Key = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey


@dataclass(frozen=True)
class PemKey:
    """A key that is in memory."""

    key: _Key

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.key.public_key())

    def sign(self, message: bytes) -> bytes:
        if isinstance(self.key, RSAPrivateKey):
            return self.key.sign(message, PKCS1v15(), SHA256())
        if isinstance(self.key, EllipticCurvePrivateKey):
            return self.key.sign(message, ECDSA(SHA256()))
        return self.key.sign(message)


def open_key(address: str, ask: Ask) -> PemKey:
    """Read a key file; one that is encrypted asks for its passphrase."""
    path, where = Path(address), Location(address)
    try:
        data = path.read_bytes()
        key = load_pem_private_key(data, password=None)
    except TypeError:
        password = ask(f"Passphrase of {path.name}", "COLVERT_KEY_PASSPHRASE")
        try:
            key = load_pem_private_key(data, password=password.encode())
        except ValueError as error:
            raise ColvertError(Code.USAGE, "the passphrase is wrong", where=where) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ColvertError(Code.USAGE, "this is no private key in PEM", where=where) from error
    if not isinstance(key, _Key) or (
        isinstance(key, EllipticCurvePrivateKey) and not isinstance(key.curve, SECP256R1)
    ):
        raise ColvertError(Code.USAGE, "only RSA, P-256 and Ed25519 keys sign releases", where=where)
    if isinstance(key, RSAPrivateKey) and key.key_size < MIN_RSA_BITS:
        what = f"an RSA key has at least {MIN_RSA_BITS} bits, this one {key.key_size}"
        raise ColvertError(Code.USAGE, what, where=where)
    return PemKey(key)
