"""Ring: what an image says of its updates: where they come from, and whose they have to be."""

from __future__ import annotations

from builder.build.session import Session
from builder.errors import ColvertError, raise_all
from builder.manifest.model import Update
from builder.updates.keys import DEVELOPMENT, PublicKey, Signer, development_key, read_public


def signer(session: Session) -> Signer | None:
    """The key that signs the index in the build itself: the checkout's, or none."""
    return development_key(session.state) if session.loaded.manifest.keys.release == DEVELOPMENT else None


def ring(session: Session) -> dict[str, PublicKey]:
    """The keys that machines of this image believe, by name."""
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


def machine_settings(update: Update) -> dict[str, str]:
    """The content of update.conf; what is not said there has the machine's own default."""
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
