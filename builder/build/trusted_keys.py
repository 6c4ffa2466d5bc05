"""Update settings baked into an image: the source of updates and the trusted keys."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from builder.build.session import Session
from builder.errors import Code, ColvertError, raise_all
from builder.manifest.model import Update
from builder.pipeline.events import Event, Kind
from builder.updates.delta import Earlier, Target, find_earlier
from builder.updates.expiry import date, expiry, is_past
from builder.updates.keys import DEVELOPMENT, PublicKey, Signer, development_key, read_public
from builder.updates.order import newer


def signer(session: Session) -> Signer | None:
    """The key that signs the index in the build itself: the checkout's, or none."""
    return development_key(session.state) if session.loaded.manifest.keys.release == DEVELOPMENT else None


def trusted_keys(session: Session) -> dict[str, PublicKey]:
    """The keys that machines of this image trust, by name."""
    own = signer(session)
    found = {DEVELOPMENT: own.public} if own else {}
    errors: list[ColvertError] = []
    for number, source in enumerate(session.loaded.manifest.update.keys):
        where = session.loaded.origin(("update", "keys", number))
        try:
            found[source.path.stem] = read_public(source.path.read_bytes(), where)
        except ColvertError as error:
            errors.append(error)
    raise_all(errors)
    return found


def check_update(session: Session, deltas_from: Sequence[Path]) -> tuple[Earlier, ...]:
    """Check what can be wrong before anything is built; returns the releases from which deltas start."""
    loaded = session.loaded
    update = loaded.manifest.update
    target = Target(loaded.manifest.id, loaded.manifest.architecture, loaded.version)
    trusted_keys(session)
    if update.from_at_least and newer(update.from_at_least, loaded.version):
        raise ColvertError(
            Code.MANIFEST_INVALID,
            f"from_at_least {update.from_at_least} is newer than this version, {loaded.version}",
            where=loaded.origin(("update", "from_at_least")),
        )
    expires = expiry(loaded.epoch, update.expires_after)
    if is_past(expires):
        text = f"the update index expired on {date(expires)}: machines refuse it; "
        text += "build a newer commit, or set `update: expires_after:`"
        session.events.emit(Event(kind=Kind.WARNING, text=text))
    earlier = tuple(find_earlier(deltas_from, target, update.deltas))
    if deltas_from:
        versions = ", ".join(one.index.version for one in earlier)
        text = f"deltas from {versions}" if versions else "no deltas: no older release found"
        session.events.emit(Event(kind=Kind.MESSAGE, text=text))
    return earlier


def machine_settings(update: Update) -> dict[str, str]:
    """The content of update.conf; absent settings have the defaults of colvert-update."""
    settings = {
        "SOURCE": update.source,
        "CHANNEL": update.channel,
        "REBOOT": update.reboot,
        "WINDOW_START": update.window_start,
        "WINDOW_LENGTH": update.window_length,
        "RATE": str(update.rate),
        "KEXEC": update.kexec,
    }
    return {name: value for name, value in settings.items() if value is not None}
