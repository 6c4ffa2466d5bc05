"""Start of signing at the end of a build: the record for `colvert attach`, and the first request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from builder.build.outputs import deliver_file
from builder.build.session import Session
from builder.build.trusted_keys import signer
from builder.pipeline.events import Event, Events, Kind
from builder.signing.phases import Build, begin
from builder.updates.contents import FILE, REQUEST, KeyNames, Pending
from builder.updates.dsse import parse


def begin_signing(session: Session, root_hash: str, place: Path, deltas_from: Sequence[Path]) -> None:
    """Note what was built, and sign with the checkout's key or say what waits for which keys."""
    request = begin(_build(session, root_hash, place, deltas_from), place, signer(session))
    if request is None:
        text = f"{place / FILE}: signed by the checkout's development key"
    else:
        names = ", ".join(sorted({item.key for item in request.items}))
        text = f"{place / REQUEST} requires signatures by {names}: run colvert sign, then colvert attach"
    session.events.emit(Event(kind=Kind.MESSAGE, text=text))


def leave_payload(payload: bytes, what: Pending, place: Path, events: Events) -> None:
    """Leave a payload to be signed, unless it is there and signed."""
    signed = place / what.files[0]
    if not signed.is_file() or parse(signed.read_bytes()).content() != payload:
        deliver_file(payload, place / what.unsigned, events)


def _build(session: Session, root_hash: str, place: Path, deltas_from: Sequence[Path]) -> Build:
    loaded = session.loaded
    manifest = loaded.manifest
    return Build(
        place=str(place.absolute()),
        manifest=str(loaded.path.absolute()),
        overrides=dict(session.overrides),
        state=str(session.state),
        deltas_from=[str(path.absolute()) for path in deltas_from],
        image_id=manifest.id,
        architecture=manifest.architecture,
        version=loaded.version,
        created=loaded.epoch,
        root_hash=root_hash,
        keys=KeyNames(
            usr=manifest.keys.usr, secure_boot=manifest.keys.secure_boot, release=manifest.keys.release
        ),
    )
