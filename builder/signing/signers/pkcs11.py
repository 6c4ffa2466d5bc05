"""Keys in a PKCS#11 token, named by a URI (RFC 7512)."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, unquote_to_bytes

import pkcs11
from asn1crypto.core import OctetString
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass

from builder.errors import Code, ColvertError
from builder.signing.signers import Ask
from builder.updates.keys import PublicKey

# Ed25519, and P-256 without compression
BARE = (32, 65)
# by module and serial number of the token
_sessions: dict[tuple[str, bytes], pkcs11.Session] = {}


@dataclass(frozen=True)
class Uri:
    """Attributes of a pkcs11: URI."""

    module: str
    token: str | None = None
    object: str | None = None
    id: bytes | None = None
    pin: str | None = None

    @property
    def label(self) -> str:
        return self.object or (self.id.hex() if self.id else "any")


@dataclass(frozen=True)
class TokenKey:
    """A private key object of an open session."""

    key: pkcs11.PrivateKey
    public: PublicKey

    def sign(self, message: bytes) -> bytes:
        try:
            return self._sign(message)
        except pkcs11.PKCS11Error as error:
            raise _failed(f"the token failed to sign: {type(error).__name__}") from error

    def _sign(self, message: bytes) -> bytes:
        kind = self.key.key_type
        if kind == KeyType.RSA:
            made: bytes = self.key.sign(message, mechanism=Mechanism.SHA256_RSA_PKCS)
        elif kind == KeyType.EC:
            raw = self.key.sign(hashlib.sha256(message).digest(), mechanism=Mechanism.ECDSA)
            half = len(raw) // 2
            made = encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
        else:
            made = self.key.sign(message, mechanism=Mechanism.EDDSA)
        return made


def parse_uri(address: str) -> Uri:
    """The parts of a URI that name a module, a token and a key in it."""
    path, _, query = address.removeprefix("pkcs11:").partition("?")
    parts = dict(part.partition("=")[::2] for part in path.split(";") if part)
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = (set(parts) - {"token", "object", "id", "type"}) | (
        set(options) - {"module-path", "pin-value", "pin-source"}
    )
    if unknown:
        raise _failed(f"unknown attribute in the URI: {', '.join(sorted(unknown))}")
    module = options.get("module-path") or os.environ.get("COLVERT_PKCS11_MODULE")
    if not module:
        raise _failed("no PKCS#11 module: add ?module-path=FILE.so to the URI, or set COLVERT_PKCS11_MODULE")
    pin = options.get("pin-value")
    if "pin-source" in options:
        pin = Path(options["pin-source"].removeprefix("file:")).read_text().rstrip("\n")
    return Uri(
        module,
        unquote(parts["token"]) if "token" in parts else None,
        unquote(parts["object"]) if "object" in parts else None,
        unquote_to_bytes(parts["id"]) if "id" in parts else None,
        pin,
    )


def open_key(address: str, ask: Ask) -> TokenKey:
    """Log in and find the key."""
    uri = parse_uri(address)
    try:
        session = _session(uri, ask)
        wanted = {"label": uri.object, "id": uri.id}
        key = session.get_key(object_class=ObjectClass.PRIVATE_KEY, **wanted)
        public = session.get_key(object_class=ObjectClass.PUBLIC_KEY, key_type=key.key_type, **wanted)
        return TokenKey(key, _public(public))
    except pkcs11.PKCS11Error as error:
        text = f"{type(error).__name__}{f': {error}' if str(error) else ''}"
        raise _failed(f"the key {uri.label} cannot be used: {text}") from error


def _session(uri: Uri, ask: Ask) -> pkcs11.Session:
    """The token's session: one login is for all keys of a program, and a second one is an error."""
    token = pkcs11.lib(uri.module).get_token(token_label=uri.token)
    place = (uri.module, token.serial)
    if place not in _sessions:
        pin = uri.pin or ask(f"PIN of {token.label}", "COLVERT_PKCS11_PIN")
        _sessions[place] = token.open(user_pin=pin)
    return _sessions[place]


def _public(key: pkcs11.PublicKey) -> PublicKey:
    if key.key_type == KeyType.RSA:
        modulus, exponent = (
            int.from_bytes(key[name], "big") for name in (Attribute.MODULUS, Attribute.PUBLIC_EXPONENT)
        )
        return PublicKey(RSAPublicNumbers(exponent, modulus).public_key())
    point = _point(key[Attribute.EC_POINT])
    if key.key_type == KeyType.EC:
        try:
            return PublicKey(EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point))
        except ValueError as error:
            raise _failed("unsupported curve: only P-256 and Ed25519 are supported") from error
    return PublicKey(Ed25519PublicKey.from_public_bytes(point))


def _point(found: bytes) -> bytes:
    """The bytes of a point, which the standard wants in an OCTET STRING; some tokens give them bare."""
    if len(found) in BARE:
        return found
    try:
        inner: bytes = OctetString.load(found, strict=True).native
    except ValueError as error:
        raise _failed("the token's public key cannot be read") from error
    return inner


def _failed(what: str) -> ColvertError:
    return ColvertError(
        Code.USAGE, what, hint="pkcs11:token=TOKEN;object=KEY?module-path=/usr/lib/softhsm/libsofthsm2.so"
    )
