"""The dm-verity hash tree of a usr image, and the identities that follow from it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

from builder.errors import Code, ColvertError
from builder.tools.workspace import bench

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "verity.colvert")
# the signature partition is a whole number of these
BLOCK = 4096
ROOT_HASH = re.compile(r"^Root hash:\s*([0-9a-f]{64})$", re.MULTILINE)


@dataclass(frozen=True)
class Verity:
    """A hash tree and its root hash."""

    path: Path
    root_hash: str

    @property
    def data_uuid(self) -> uuid.UUID:
        """The UUID of the usr partition: the root hash's first half."""
        return uuid.UUID(self.root_hash[:32])

    @property
    def hash_uuid(self) -> uuid.UUID:
        """The UUID of the verity partition: the root hash's second half."""
        return uuid.UUID(self.root_hash[32:])


def signature_partition(root_hash: str, certificate: str, signature: bytes) -> bytes:
    """The content of a signature partition (Discoverable Partitions Specification): JSON, then zeros.

    `certificate` is the SHA-256 of the signer's, `signature` a detached PKCS#7 in DER.
    """
    value = {
        "rootHash": root_hash,
        "certificateFingerprint": certificate,
        "signature": base64.b64encode(signature).decode(),
    }
    text = json.dumps(value, separators=(",", ":")).encode()
    return text + bytes(-len(text) % BLOCK)


def make_verity(
    data: Path, out: Path, *, sdk_root: Path, identity: str, version: str = "", limit: int | None = None
) -> Verity:
    """Write the hash tree of `data` to `out`.

    The salt follows from `identity`, the image's id, alone: a block that did not change keeps its
    digest from one version to the next (docs/decisions/update-deltas.md). The UUID follows from both.
    """
    salt = hashlib.sha256(f"verity salt {identity}".encode()).hexdigest()
    own = uuid.uuid5(NAMESPACE, f"{identity} {version}")
    with bench(out, sdk_root, {"data": data}) as table:
        text = table.run(
            "veritysetup", "format", "--hash=sha256", f"--salt={salt}", "--data-block-size=4096",
            "--hash-block-size=4096", f"--uuid={own}",
            table.source("data"), table.target("verity"),
        ).stdout  # fmt: skip
        found = ROOT_HASH.search(text)
        if found is None:
            raise ColvertError(
                Code.IMAGE_INVALID, "veritysetup printed no root hash", detail=text.splitlines()
            )
        table.measure("verity", "the hash tree", limit, "remove packages from the manifest")
        return Verity(table.take("verity", out), found[1])
