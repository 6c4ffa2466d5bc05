"""Rotation of a project's keys, and revocation of keys and programs.

docs/howto/keys.md says in which order machines have to learn of it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from builder.errors import Code, ColvertError, Location
from builder.pipeline.files import write_atomic
from builder.signing.project_keys import (
    CERTIFICATES,
    ProjectKeys,
    fingerprint,
    make_certificate,
    make_release_key,
    newer,
    read_certificate,
    unusable,
    write_variables,
)
from builder.signing.signature_list import Signature, authenticated, signature_lists
from builder.updates.keys import read_public

# the variables that change with a key, and have to be signed again
CHANGED_WITH: Mapping[str, tuple[str, ...]] = {
    "PK": ("PK", "KEK"),
    "KEK": ("KEK", "db", "dbx"),
    "db": ("db",),
}
EARLIER, REVOKED = "earlier", "revoked"


def rotate(keys: ProjectKeys, which: str, now: datetime) -> Path:
    """Replace a key with a new one; the old public key stays beside it (WHICH-ID), and trusted.

    The old private key moves to earlier/. Returns the new path of the old public key.
    """
    public = "release.pem" if which == "release" else f"{which}.crt"
    # a file that cannot be read is told before anything is replaced
    for name in CHANGED_WITH.get(which, ()):
        newer(keys.directory / f"{name}.auth", now)
    earlier = keys.directory / EARLIER
    earlier.mkdir(mode=0o700, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=keys.directory, prefix=".new-"))
    try:
        if which == "release":
            kept = f"{which}-{keys.release.id[:16]}"
            make_release_key(work)
        else:
            old = keys.certificate(which)
            kept = f"{which}-{fingerprint(old)[:16]}"
            make_certificate(work, which, _called(old, which), now)
        if which == "PK":
            _hand_over_platform(keys, work, earlier / f"{kept}.auth", newer(keys.directory / "PK.auth", now))
        place = keys.directory / f"{kept}{Path(public).suffix}"
        shutil.copy2(keys.directory / public, place)
        # where the old private half is kept elsewhere, there is none here
        if (keys.directory / f"{which}.key").exists():
            shutil.copy2(keys.directory / f"{which}.key", earlier / f"{kept}.key")
        for name in (f"{which}.key", public):
            os.replace(work / name, keys.directory / name)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    write_variables(keys, now, CHANGED_WITH.get(which, ()), keys.revoked())
    return place


def _hand_over_platform(keys: ProjectKeys, new: Path, out: Path, now: datetime) -> None:
    """The .auth file that puts a new PK into machines that have the old one, whose key has to sign it."""
    content = signature_lists([Signature.certificate(read_certificate(new / "PK.crt"))], keys.owner)
    out.write_bytes(authenticated("PK", content, now, keys.certificate("PK"), keys.private("PK")))


def _called(certificate: x509.Certificate, which: str) -> str:
    """The project's name in a certificate."""
    name = str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
    return name.removesuffix(f" {which}")


def revoke(keys: ProjectKeys, signature: Signature, now: datetime) -> bool:
    """Add an entry to dbx.auth; False where it is there already."""
    before = keys.revoked()
    if signature in before:
        return False
    write_variables(keys, now, ("dbx",), (*before, signature))
    return True


def revoke_key(keys: ProjectKeys, public: Path, now: datetime) -> None:
    """Refuse what a key has signed: db's certificates go to dbx, and the public half to revoked/.

    The key in use is refused here: it has to be replaced first.
    """
    if public.name in {f"{name}.crt" for name in CERTIFICATES} | {"release.pem"}:
        raise ColvertError(
            Code.USAGE,
            "this key is in use",
            where=Location(str(public)),
            hint=f"run colvert keys rotate {keys.directory} {public.stem}, then revoke the old key",
        )
    data = _content(public)
    if public.suffix == ".crt":
        read_certificate(public)
    else:
        read_public(data, Location(str(public)))
    (keys.directory / REVOKED).mkdir(exist_ok=True)
    write_atomic(keys.directory / REVOKED / public.name, data)
    (keys.directory / public.name).unlink(missing_ok=True)
    if public.name.startswith("db-"):
        revoke(keys, Signature.certificate(read_certificate(keys.directory / REVOKED / public.name)), now)
        write_variables(keys, now, ("db",))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise unusable(path, "public key") from error
