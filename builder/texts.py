"""Texts of messages: addresses without their secrets, names quoted, near misses suggested."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from urllib.parse import unquote_plus

from builder.errors import ColvertError

HIDDEN = "***"
# characters of a name in a message, and names among which a near one is looked for
MAX_SHOWN = 60
MAX_KNOWN = 500
# schemes whose user name is part of the place and no secret: ssh://git@host
_NAMED_USERS = frozenset({"ssh", "git+ssh", "ssh+git"})
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/+")
_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/+[^\s\"'<>`]+")
_AUTHORITY = re.compile(r"[^/?#\\]*")
_HOST = re.compile(r"(?:\[[^\]@]*\]|[^:@]*)(?::[0-9]*)?")
# names of query values that let somebody in: token, X-Amz-Signature, AWSAccessKeyId, sig, api_key, ...
_SECRET_NAME = re.compile(
    r"token|secret|pass|pwd|credential|signature|key(?!word)|auth(?!or)|session|jwt|^(?:sig|sid|sas|code|pw)$",
    re.IGNORECASE,
)
# what the large forges and clouds give out, whatever it is called; and JSON web tokens
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:gh[a-z]_|github_pat_|gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent)-|xox[a-z]-|hf_|npm_|pypi-)"
    r"[A-Za-z0-9_-]{16,}|(?:AKIA|ASIA)[0-9A-Z]{16}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?)"
)

# RFC 7512: the PIN in a token's address
_PIN = re.compile(r"\b(pin-value=)[^;&?\s\"']+")


def public(address: str) -> str:
    """An address without user, password and tokens; anything else is returned as it is.

    An address that cannot be taken apart loses more rather than less.
    """
    scheme = _SCHEME.match(address)
    if scheme is None:
        return _without_scheme(address)
    prefix, rest = scheme[0], address[scheme.end() :]
    found = _AUTHORITY.match(rest)
    authority = found[0] if found else ""
    rest = rest[len(authority) :]
    userinfo, at, host = authority.rpartition("@")
    if not _HOST.fullmatch(host):
        # a password with / or ? in it ends the host for a parser, but not for whoever wrote it
        _, more, real = rest.rpartition("@")
        return public(prefix + real) if more else f"{prefix}{HIDDEN}{_public_tail(rest)}"
    kept = userinfo.partition(":")[0] if scheme[1].lower() in _NAMED_USERS else ""
    return _TOKEN.sub(HIDDEN, f"{prefix}{kept + at if kept else ''}{host}{_public_tail(rest)}")


def _without_scheme(address: str) -> str:
    """`user:password@host:3128` is an address too; a path, or git's `user@host:path`, has no secret."""
    userinfo, at, rest = address.rpartition("@")
    if not at or address.startswith(("/", ".")) or ":" not in userinfo:
        return address
    return rest


def _public_tail(tail: str) -> str:
    """Path, query and fragment, secret values hidden."""
    path = re.match(r"[^?#]*", tail)
    start = path.end() if path else 0
    parts = re.split(r"([?#&;])", tail[start:])
    return tail[:start] + "".join(_public_value(part) for part in parts)


def _public_value(part: str) -> str:
    name, sign, value = part.partition("=")
    return f"{name}={HIDDEN}" if sign and value and _SECRET_NAME.search(unquote_plus(name)) else part


def public_text(text: str) -> str:
    """A text in which every address is public."""
    return _TOKEN.sub(HIDDEN, _PIN.sub(rf"\1{HIDDEN}", _IN_TEXT.sub(lambda found: public(found[0]), text)))


def public_words(words: Iterable[str]) -> list[str]:
    """A command line without its secrets: addresses, and values whose name says that they are secret."""
    return [public_text(public(_public_word(word))) for word in words]


def _public_word(word: str) -> str:
    """`NAME=VALUE`, or `--OPTION=NAME=VALUE`."""
    option, sign, value = word.partition("=")
    if word.startswith("--") and "=" in value:
        return f"{option}{sign}{_public_value(value)}"
    return _public_value(word)


def public_error(error: ColvertError) -> ColvertError:
    """An error of a program that was given addresses, with public ones in it."""
    return error.but(
        what=public_text(error.what),
        hint=public_text(error.hint),
        detail=[public_text(line) for line in error.detail],
        others=[public_error(other) for other in error.others],
    )


def quote(text: str) -> str:
    """A name from a file, made safe and short for a message; an address in it loses its secrets."""
    text = public_text(public(text))
    safe = text if text.isprintable() else ascii(text)[1:-1]
    return f"'{safe[:MAX_SHOWN]}…'" if len(safe) > MAX_SHOWN else f"'{safe}'"


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the most similar known name, or nothing."""
    found = difflib.get_close_matches(word[:MAX_SHOWN], list(known)[:MAX_KNOWN], n=1, cutoff=0.6)
    return f"; did you mean {quote(found[0])}?" if found else ""
