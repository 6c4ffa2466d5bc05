"""LICENSE of a package as Portage left it: parsed, checked, expressed in SPDX's terms.

The syntax is that of PMS 8.2 after USE is resolved: names, groups in parentheses of which all
count, and `|| ( ... )`, of which the user has the choice.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from builder.describe.spdx_ids import EXCEPTIONS, IDS
from builder.errors import Code, ColvertError

REFERENCE = "LicenseRef-Gentoo-"


@dataclass(frozen=True)
class Group:
    """Several licences: all of them count, or, with `choice`, one of them."""

    parts: tuple[Licence, ...]
    choice: bool = False


# a name, or a group of such
Licence = str | Group


def parse(text: str) -> Group:
    """The licence that a LICENSE names."""
    tokens = text.split()
    parts, rest = _parts(tokens, 0)
    if rest != len(tokens):
        raise _malformed(text)
    return Group(parts)


def _parts(tokens: list[str], at: int) -> tuple[tuple[Licence, ...], int]:
    """The members from `at` on, and where the group that they are in ends."""
    parts: list[Licence] = []
    while at < len(tokens) and tokens[at] != ")":
        choice = tokens[at] == "||"
        if choice or tokens[at] == "(":
            at += 1 + choice
            if tokens[at - 1 : at] != ["("]:
                raise _malformed(" ".join(tokens))
            inner, at = _parts(tokens, at)
            if tokens[at : at + 1] != [")"]:
                raise _malformed(" ".join(tokens))
            parts.append(Group(inner, choice))
        else:
            parts.append(tokens[at])
        at += 1
    return tuple(parts), at


def _malformed(text: str) -> ColvertError:
    return ColvertError(
        Code.UNRESOLVABLE, f"invalid LICENSE '{text}': only names, ( ) and || ( ) are allowed"
    )


def names(licence: Licence) -> Iterator[str]:
    """Every licence that is named, in its order."""
    if isinstance(licence, str):
        yield licence
    else:
        for part in licence.parts:
            yield from names(part)


def failing(licence: Licence, passes: Collection[str]) -> list[str]:
    """The names because of which it does not pass; none where it does. Of a choice one is enough."""
    if isinstance(licence, str):
        return [] if licence in passes else [licence]
    found = [failing(part, passes) for part in licence.parts]
    if licence.choice and not all(found):
        return []
    return [name for part in found for name in part]


# --- SPDX -------------------------------------------------------------------------


def reference(name: str) -> str:
    """How SPDX refers to a licence that it has no id for."""
    return REFERENCE + re.sub(r"[^A-Za-z0-9.-]", lambda hit: f"-{ord(hit[0]):x}-", name)


def spdx_id(name: str) -> str:
    """A single licence in SPDX's words."""
    return IDS.get(name) or reference(name)


def spdx(licence: Licence) -> str:
    """The licence as an SPDX expression (SPDX 2.3, annex D); nothing where there is none."""
    return _spdx(licence, False)


def _spdx(licence: Licence, inner: bool) -> str:
    if isinstance(licence, str):
        return spdx_id(licence)
    excepted = {} if licence.choice else _exceptions(licence)
    said = [
        f"{spdx_id(part)} WITH {excepted[part]}"
        if isinstance(part, str) and part in excepted
        else _spdx(part, len(licence.parts) > 1)
        for part in licence.parts
        if not (isinstance(part, str) and _attached(part, excepted))
    ]
    said = list(dict.fromkeys(text for text in said if text))
    text = (" OR " if licence.choice else " AND ").join(said)
    return f"({text})" if inner and len(said) > 1 else text


def _exceptions(group: Group) -> Mapping[str, str]:
    """For the licences of a group: the id of the exception that stands beside each."""
    found = {}
    for part in group.parts:
        if isinstance(part, str) and part in EXCEPTIONS:
            identity, bases = EXCEPTIONS[part]
            found.update({base: identity for base in bases if base in group.parts})
    return found


def _attached(name: str, excepted: Mapping[str, str]) -> bool:
    """Whether a name is an exception that has been said with its licence."""
    return name in EXCEPTIONS and EXCEPTIONS[name][0] in excepted.values()


def extracted(licence: Licence) -> list[str]:
    """Licence names without an SPDX id, whose texts an SBOM must contain."""
    said = spdx(licence)
    return sorted({name for name in names(licence) if reference(name) in re.split(r"[ ()]", said)})
