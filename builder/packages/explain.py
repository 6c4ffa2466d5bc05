"""Explain: why a package would be built, told from the store's records of earlier builds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from builder.packages.builder import Builder
from builder.packages.plan import Node
from builder.pipeline.store import Entry, Record


class Why(StrEnum):
    """Why a package is, or is not, to be built."""

    STORED = "in store"
    NEW = "new"
    CHANGED = "changed"
    DEPENDENCY = "dependency changed"


@dataclass(frozen=True)
class Row:
    """One package's fate; `key` is empty while a dependency has yet to be built."""

    node: Node
    why: Why
    cause: str
    key: str
    seconds: float


@dataclass(frozen=True)
class Change:
    """One input that differs from the last build; an empty side means it was not there."""

    name: str
    before: str
    after: str


def last_records(builder: Builder) -> Mapping[str, Record]:
    """The newest stored record of each package by category/name, whatever its version."""
    newest: dict[str, Record] = {}
    for entry in builder.executor.store.entries():
        record = entry.record
        if record.stage != "package":
            continue
        for node in builder.plan.packages:
            if record.label.startswith(f"{node.atom}-") and record.label[len(node.atom) + 1 :][:1].isdigit():
                old = newest.get(node.atom)
                if old is None or record.created > old.created:
                    newest[node.atom] = record
    return newest


def foresee(builder: Builder) -> list[Row]:
    """What a build would do with each package, in the order it would."""
    before = last_records(builder)
    built: dict[str, Entry] = {}
    rows: list[Row] = []
    order = builder.plan.order()
    while order.is_active():
        for cpv in sorted(order.get_ready()):
            rows.append(_row(builder, builder.plan.nodes[cpv], built, before))
            order.done(cpv)
    return rows


def _row(builder: Builder, node: Node, built: dict[str, Entry], before: Mapping[str, Record]) -> Row:
    old = before.get(node.atom)
    spent = old.seconds if old else 0.0
    missing = [cpv for cpv in builder.plan.sysroot(node.cpv) if cpv not in built]
    if missing:
        why = Why.DEPENDENCY if old else Why.NEW
        return Row(node, why, ", ".join(missing[:3]) if old else "", "", spent)
    stage = builder.stage(node, built)
    entry = builder.executor.store.find(stage.key)
    if entry is not None:
        built[node.cpv] = entry
        return Row(node, Why.STORED, "", stage.key, spent)
    if old is None:
        return Row(node, Why.NEW, "", stage.key, spent)
    changed = compare(old.inputs, stage.inputs)
    names = [change.name for change in changed]
    why = Why.DEPENDENCY if all(name.startswith("dependency:") for name in names) else Why.CHANGED
    return Row(node, why, ", ".join(name.removeprefix("dependency:") for name in names[:4]), stage.key, spent)


def compare(before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    """The inputs that differ, by name."""
    names = sorted(set(before) | set(after))
    changes = [Change(name, before.get(name, ""), after.get(name, "")) for name in names]
    return [change for change in changes if change.before != change.after]


def explain(builder: Builder, node: Node) -> tuple[Row, list[Change], Mapping[str, str]]:
    """A package's fate, what changed since its last build, and what its key is made of now."""
    row = next(row for row in foresee(builder) if row.node.cpv == node.cpv)
    inputs = builder.own_inputs(node)
    old = last_records(builder).get(node.atom)
    own = (
        {name: value for name, value in old.inputs.items() if not name.startswith("dependency:")}
        if old
        else {}
    )
    return row, compare(own, inputs) if old else [], inputs
