"""The plan of the default OS: each change of what it is made of shows in review."""

from __future__ import annotations

from pathlib import Path

from builder.build.session import Session
from tests.golden import check_golden

GOLDEN = Path(__file__).parent / "golden" / "plan.txt"


def test_the_plan_is_the_accepted_one(session: Session) -> None:
    lines = []
    for node in sorted(session.plan.packages, key=lambda node: node.cpv):
        lines.append(" ".join([node.cpv, *(f"+{flag}" for flag in node.use)]))
        lines += [f"    {'+'.join(kinds)} {cpv}" for cpv, kinds in node.dependencies.items()]
    check_golden(GOLDEN, "\n".join(lines) + "\n")


def test_it_is_in_an_order_in_which_it_can_be_built(session: Session) -> None:
    order, built = session.plan.order(), set[str]()
    while order.is_active():
        for cpv in order.get_ready():
            assert set(session.plan.sysroot(cpv)) <= built
            order.done(cpv)
            built.add(cpv)
    assert built == set(session.plan.nodes)
