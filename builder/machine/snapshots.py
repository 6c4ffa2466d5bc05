"""Snapshots: the stored states of warm machines, each made the first time that it is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from builder.errors import Code, ColvertError
from builder.machine.qemu import MachineSpec
from builder.machine.warm import DISK, WarmMachine
from builder.pipeline.artifact import Artifact
from builder.pipeline.executor import Executor
from builder.pipeline.ingest import ingest_files
from builder.pipeline.store import Store


def warm(executor: Executor, spec: MachineSpec) -> MachineSpec:
    """The same machine, restored instead of booted; it is booted here where the store has no snapshot."""
    store = executor.store
    disk = ingest_files(store, "machine", {DISK: spec.disk.absolute()})
    stage = WarmMachine.of(spec, disk)
    try:
        snapshot = _place(store, executor.obtain(stage).artifact)
    except ColvertError as error:
        if error.code is not Code.STORE_CORRUPT:
            raise
        # it was set aside
        snapshot = store.path(executor.obtain(stage).artifact)
    return replace(spec, disk=_place(store, disk) / DISK, snapshot=snapshot)


def _place(store: Store, artifact: Artifact) -> Path:
    """Where an artifact lies. Hundreds of MiB: their digest only where sizes or times say otherwise."""
    return store.place(artifact) if store.untouched(artifact) else store.path(artifact)
