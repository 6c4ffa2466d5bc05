"""Snapshots of warm machines, each made when it is first asked for."""

from __future__ import annotations

from dataclasses import replace

from builder.errors import Code, ColvertError
from builder.machine.accel import Accel
from builder.machine.qemu import MachineSpec
from builder.machine.warm import DISK, WarmMachine
from builder.pipeline.executor import Executor
from builder.pipeline.ingest import ingest_files


def warm(executor: Executor, spec: MachineSpec) -> MachineSpec:
    """The same machine, restored instead of booted; it is booted here where the store has no snapshot."""
    store = executor.store
    # hashed here, so the machine may read the file itself
    disk = ingest_files(store, "machine", {DISK: spec.disk.absolute()})
    stage = WarmMachine.of(spec, disk)
    try:
        snapshot = store.path(executor.obtain(stage).artifact)
    except ColvertError as error:
        if error.code is not Code.STORE_CORRUPT:
            raise
        # it was set aside
        snapshot = store.path(executor.obtain(stage).artifact)
    return replace(spec, snapshot=snapshot, accel=Accel.TCG)
