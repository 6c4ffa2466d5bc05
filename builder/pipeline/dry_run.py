"""Dry run of a graph: which jobs a build would run, and which input of each changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from builder.pipeline.artifact import Artifact
from builder.pipeline.entry import Entry, Record
from builder.pipeline.executor import Executor
from builder.pipeline.scheduler import Job, order
from builder.pipeline.stage import Stage, uses
from builder.pipeline.store import Store

# the inputs that other stages make
DEPENDENCY = re.compile(
    r"dependencies\.|packages\.\d+\.image$|sized\.|deltas\.|(slot\.)?(usr|boot)$"
    r"|(tree|side|initrd|uki|root_hash|disk|packed|whole)$"
)
# a version with its hyphen (PMS 3.2)
VERSION = re.compile(r"-\d+(\.\d+)*[a-z]?(_(alpha|beta|pre|rc|p)\d*)*(-r\d+)?$")


class Why(StrEnum):
    """Why a job is, or is not, to be run."""

    STORED = "in store"
    NEW = "new"
    CHANGED = "changed"
    DEPENDENCY = "dependency changed"


@dataclass(frozen=True)
class Row:
    """One job's fate; `key` is empty while something that it needs has yet to be made."""

    job: Job
    why: Why
    cause: str
    key: str
    seconds: float
    inputs: Mapping[str, str]
    before: Mapping[str, str]


@dataclass(frozen=True)
class Change:
    """One input that differs from the last build; an empty side means it was not there."""

    name: str
    before: str
    after: str


def dry_run(executor: Executor, jobs: Iterable[Job]) -> list[Row]:
    """The state of each job before a build, in build order."""
    named = {job.name: job for job in jobs}
    before = _last_records(executor, named.values())
    made: dict[str, Entry] = {}
    rows: list[Row] = []
    sorter = order(named.values())
    while sorter.is_active():
        for name in sorted(sorter.get_ready()):
            rows.append(_row(executor, named[name], made, before.get(name)))
            sorter.done(name)
    return rows


def _row(executor: Executor, job: Job, made: dict[str, Entry], old: Record | None) -> Row:
    spent, earlier = (old.seconds, old.inputs) if old else (0.0, {})
    missing = [name for name in job.needs if name not in made]
    if missing:
        why = Why.DEPENDENCY if old else Why.NEW
        return Row(job, why, ", ".join(missing[:3]) if old else "", "", spent, {}, earlier)
    stage = job.make(made)
    key, inputs = executor.key(stage), executor.inputs(stage)
    entry = executor.store.find(key)
    if entry is not None:
        made[job.name] = entry
        return Row(job, Why.STORED, "", key, spent, inputs, inputs)
    if old is None:
        return Row(job, Why.NEW, "", key, spent, inputs, {})
    names = [change.name for change in compare(earlier, inputs)]
    why = Why.DEPENDENCY if names and all(DEPENDENCY.match(name) for name in names) else Why.CHANGED
    old_files, files = changed_files(executor.store, old, stage)
    cause = ", ".join([*names, *sorted(old_files | files)][:4])
    return Row(job, why, cause, key, spent, {**inputs, **files}, {**earlier, **old_files})


def changed_files(store: Store, old: Record, stage: Stage) -> tuple[dict[str, str], dict[str, str]]:
    """The files that differ in an ingested input, with their digests before and now, if one input changed."""
    now = {artifact.digest: artifact for artifact in uses(stage)}
    before = {digest: Artifact("input", digest) for digest in old.uses}
    gone = [one for digest, one in before.items() if digest not in now and store.has(one)]
    fresh = [one for digest, one in now.items() if digest not in before and store.has(one)]
    if len(gone) != 1 or len(fresh) != 1:
        return {}, {}
    one, other = store.by_name(gone[0]), store.by_name(fresh[0])
    names = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    return (
        {f"file {name}": one[name].value for name in names if name in one},
        {f"file {name}": other[name].value for name in names if name in other},
    )


def _last_records(executor: Executor, jobs: Iterable[Job]) -> dict[str, Record]:
    """The newest record of each job's subject, whatever its version was, by the job's name."""
    newest: dict[tuple[str, str], Record] = {}
    for entry in executor.store.entries():
        record = entry.record
        key = (record.stage, subject(record.label))
        if key not in newest or record.created > newest[key].created:
            newest[key] = record
    return {job.name: newest[job.about] for job in jobs if job.about in newest}


def subject(label: str) -> str:
    """The subject of a label, without its version: sys-libs/zlib-1.3.1 -> sys-libs/zlib."""
    name, space, _ = label.partition(" ")
    return name if space else VERSION.sub("", name)


def compare(before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    """The inputs that differ, by name."""
    names = sorted(set(before) | set(after))
    changes = [Change(name, before.get(name, ""), after.get(name, "")) for name in names]
    return [change for change in changes if change.before != change.after]
