"""Atoms and versions as Portage has them: thousands of cases, asked in one go."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.errors import ColvertError
from builder.packages.atoms import Atom, Cpv, Version
from builder.sandbox.run import run
from builder.sandbox.sdk import Sdk
from tests.atoms import ATOMS, CPVS, NEARLY_ATOMS, REPOSITORIES, SLOTS, VERSIONS

CASES = 1500
# reads questions of each kind, prints the answers
ASK = r"""
import json, sys
from portage.dep import Atom, match_from_list
from portage.exception import InvalidAtom
from portage.versions import _pkg_str, vercmp

def compare(one, other):
    return vercmp(one, other)

def atom(text):
    try:
        it = Atom(text, allow_repo=True)
    except InvalidAtom:
        return None
    # an atom of a manifest has none of these; the last tells binary packages of one version apart
    if it.use or it.blocker or it.slot_operator or it.build_id is not None:
        return None
    return [it.cp, it.operator, it.version, it.slot, it.sub_slot, it.repo]

def match(text, cpv, slot, repo):
    return bool(match_from_list(Atom(text, allow_repo=True), [_pkg_str(cpv, slot=slot, repo=repo)]))

asked = json.load(sys.stdin)
print(json.dumps({kind: [globals()[kind](*one) for one in asked[kind]] for kind in asked}))
"""


def _drawn(strategy: st.SearchStrategy[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The same many examples at each run."""
    found: list[tuple[str, ...]] = []

    @settings(max_examples=CASES, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def take(one: tuple[str, ...]) -> None:
        found.append(one)

    take()
    return found


@pytest.fixture(scope="module")
def asked() -> dict[str, list[tuple[str, ...]]]:
    near = st.builds("{}-{}".format, st.just("a/b"), VERSIONS)
    return {
        "compare": _drawn(st.tuples(VERSIONS, VERSIONS)),
        "atom": _drawn(st.tuples(ATOMS | NEARLY_ATOMS)),
        "match": _drawn(st.tuples(ATOMS, CPVS | near, SLOTS, REPOSITORIES)),
    }


@pytest.fixture(scope="module")
def answers(asked: dict[str, list[tuple[str, ...]]], sdk: Sdk) -> dict[str, list[object]]:
    said = run(["python3", "-c", ASK], sandbox=sdk.sandbox(), stdin=json.dumps(asked).encode()).stdout
    found: dict[str, list[object]] = json.loads(said)
    return found


def _compare(one: str, other: str) -> int:
    left, right = Version.parse(one), Version.parse(other)
    return (left > right) - (left < right)


def _atom(text: str) -> list[str | None] | None:
    try:
        it = Atom.parse(text)
    except ColvertError:
        return None
    version = str(it.version) if it.version else None
    return [it.package, it.operator, version, it.slot or None, it.subslot or None, it.repository or None]


def _match(text: str, cpv: str, slot: str, repository: str) -> bool:
    return Atom.parse(text).matches(Cpv.parse(cpv), slot, repository)


@pytest.mark.parametrize(("kind", "ours"), [("compare", _compare), ("atom", _atom), ("match", _match)])
def test_portage_says_the_same(
    kind: str,
    ours: Callable[..., object],
    asked: dict[str, list[tuple[str, ...]]],
    answers: dict[str, list[object]],
) -> None:
    wrong = [
        (case, answer, ours(*case))
        for case, answer in zip(asked[kind], answers[kind], strict=True)
        if ours(*case) != answer
    ]
    assert wrong == []
    # the cases are worth asking: each answer is among them, often
    assert len({json.dumps(answer) for answer in answers[kind]}) > 1
