"""Keys in AWS KMS, named `awskms:KEY-ID` (an id, an ARN, or alias/NAME).

Region, credentials and endpoint are where every client of AWS looks for them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from builder.errors import Code, ColvertError
from builder.signing.signers import Ask
from builder.updates.keys import PublicKey, unfit

# bytes, "Sign" in the API reference of AWS KMS
MAX_MESSAGE = 4096


@dataclass(frozen=True)
class KmsKey:
    """A key that never leaves the service."""

    client: Any
    id: str
    public: PublicKey

    def sign(self, message: bytes) -> bytes:
        rsa = isinstance(self.public.key, RSAPublicKey)
        algorithm = "RSASSA_PKCS1_V1_5_SHA_256" if rsa else "ECDSA_SHA_256"
        # the service hashes what is short enough itself
        short = len(message) <= MAX_MESSAGE
        what = {"Message": message, "MessageType": "RAW"} if short else {
            "Message": hashlib.sha256(message).digest(), "MessageType": "DIGEST"}  # fmt: skip
        try:
            made: bytes = self.client.sign(KeyId=self.id, SigningAlgorithm=algorithm, **what)["Signature"]
        except (BotoCoreError, ClientError) as error:
            raise _failed(self.id, error) from error
        return made


def open_key(address: str, ask: Ask) -> KmsKey:
    """Ask the service for the public half."""
    name = address.removeprefix("awskms:")
    try:
        client = boto3.client("kms")
        found = load_der_public_key(client.get_public_key(KeyId=name)["PublicKey"])
    except (BotoCoreError, ClientError) as error:
        raise _failed(name, error) from error
    why = unfit(found)
    if why:
        raise ColvertError(Code.USAGE, f"{name}: {why}")
    assert isinstance(found, (RSAPublicKey, EllipticCurvePublicKey))
    return KmsKey(client, name, PublicKey(found))


def _failed(name: str, error: Exception) -> ColvertError:
    return ColvertError(Code.USAGE, f"AWS KMS cannot sign with {name}: {error}")
