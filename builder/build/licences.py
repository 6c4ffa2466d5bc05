"""Licences of the image's packages, compared with those that the manifest accepts.

All of it is checked on the plan, before anything is compiled.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.build.session import Session
from builder.describe.licences import failing, parse
from builder.describe.spdx_ids import EXCEPTIONS, IDS
from builder.errors import Code, ColvertError, Location, raise_all
from builder.manifest.load import LoadedManifest
from builder.packages.overlay import Overlay
from builder.packages.plan import Node
from builder.texts import nearest, quote

Groups = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Policy:
    """Refused licences with their place in the manifest, and the allowed ones, if listed."""

    refused: Mapping[str, Location]
    allowed: frozenset[str] | None
    where: Location

    def passes(self, name: str) -> bool:
        return name not in self.refused and (self.allowed is None or name in self.allowed)


def check_licences(session: Session) -> None:
    """Every package of the image passes the policy, and every licence of it has a text."""
    nodes = [session.plan.nodes[cpv] for cpv in session.plan.shipped]
    texts = session.licence_texts
    groups = read_groups(session.settings.overlays)
    known = {*texts, *IDS, *EXCEPTIONS, *(name for node in session.plan.packages for name in node.licences)}
    policy = read_policy(session.loaded, groups, known)
    overlays = {overlay.name: overlay.path for overlay in session.settings.overlays}
    raise_all(
        [
            *(problem for node in nodes for problem in refusals(node, policy)),
            *(problem for node in nodes for problem in _missing(node, texts, overlays)),
        ]
    )


def read_policy(loaded: LoadedManifest, groups: Groups, known: Iterable[str]) -> Policy:
    """The manifest's policy, with groups expanded; an unknown name is an error."""
    names = {*known, *(f"@{name}" for name in groups)}
    licences = loaded.manifest.licences
    problems = []
    for kind, said in (("refuse", licences.refuse), ("allow", licences.allow)):
        for number, name in enumerate(said):
            if name not in names:
                what = (
                    f"unknown licence {quote(name)}: no package and no overlay has it{nearest(name, names)}"
                )
                where = loaded.origin(("licences", kind, number))
                problems.append(ColvertError(Code.MANIFEST_INVALID, what, where=where))
    raise_all(problems)
    refused = {
        member: loaded.origin(("licences", "refuse", number))
        for number, name in enumerate(licences.refuse)
        for member in expand(name, groups)
    }
    allowed = frozenset(member for name in licences.allow for member in expand(name, groups))
    return Policy(refused, allowed if licences.allow else None, loaded.origin(("licences", "allow")))


def expand(name: str, groups: Groups) -> set[str]:
    """The licences that a name or @GROUP stands for; groups may hold groups, even in a circle."""
    found, todo, seen = set[str](), [name], set[str]()
    while todo:
        word = todo.pop()
        if not word.startswith("@"):
            found.add(word)
        elif word not in seen:
            seen.add(word)
            todo += groups.get(word[1:], ())
    return found


def read_groups(overlays: Iterable[Overlay]) -> dict[str, list[str]]:
    """The overlays' profiles/license_groups (GLEP 23): a group's name, then its members."""
    groups: dict[str, list[str]] = {}
    for overlay in overlays:
        path = overlay.path / "profiles" / "license_groups"
        for line in path.read_text().splitlines() if path.is_file() else ():
            words = line.partition("#")[0].split()
            if words:
                groups.setdefault(words[0], []).extend(words[1:])
    return groups


def refusals(node: Node, policy: Policy) -> list[ColvertError]:
    """Why the policy does not take a package; a choice of licences fails only as a whole."""
    passes = {name for name in node.licences if policy.passes(name)}
    problems = []
    for name in dict.fromkeys(failing(parse(node.licence), passes)):
        refused = policy.refused.get(name)
        what = f"{node.cpv}: licence {name} is {'refused' if refused else 'not allowed'}"
        hint = "remove the package, or change `licences` in the manifest"
        problems.append(ColvertError(Code.LICENCE_REFUSED, what, where=refused or policy.where, hint=hint))
    return problems


def _missing(node: Node, texts: Container[str], overlays: Mapping[str, Path]) -> list[ColvertError]:
    where = Location(str(overlays[node.repository] / node.ebuild))
    return [
        ColvertError(
            Code.LICENCE_TEXT,
            f"{node.cpv}: the text of the licence {name} is missing",
            where=where,
            hint=f"add it to the overlay as licenses/{name}",
        )
        for name in node.licences
        if name not in texts
    ]
