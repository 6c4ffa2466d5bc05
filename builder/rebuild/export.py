"""Export of all sources of a release, as a directory or tar, for builds without network."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path

from builder.build.lockfile import REQUIREMENTS, Lock, lock_overlays, lock_python, lock_sdk, lock_sources
from builder.build.lockfile import write_lock as write_file
from builder.build.session import Session
from builder.build.sources import INDEX, Index, survey
from builder.errors import Code, ColvertError
from builder.formats.tar import write_tar
from builder.packages.fetch import Distfile
from builder.pipeline.directories import discard
from builder.pipeline.events import Event, Events, Kind
from builder.rebuild.inputs import copy_inputs, copy_project
from builder.sandbox.pypi import download
from builder.sandbox.sdk import recipe_digest


def make_lock(session: Session) -> Lock:
    """The external inputs of the session's build."""
    return Lock(
        overlays=lock_overlays(session.loaded.manifest.overlays, session.settings.overlays),
        python=lock_python(),
        sdk=lock_sdk(session.sdk),
        sources=lock_sources(session.builder.all_sources()),
    )


def export_sources(session: Session, target: Path, *, wheels: bool = True) -> Path:
    """Write the export to `target`, a new directory, or a file where its name ends in .tar."""
    target = target.absolute()
    if target.exists():
        raise ColvertError(Code.USAGE, f"{target} already exists", hint="choose another path, or remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.parent / f".{target.name}.{uuid.uuid4().hex}"
    packed = part.with_name(f"{part.name}.tar")
    try:
        part.mkdir(mode=0o755)
        _fill(session, part, wheels=wheels)
        if target.suffix == ".tar":
            _tell(session.events, "tar")
            write_tar(part, packed, epoch=session.loaded.epoch)
            packed.rename(target)
        else:
            part.rename(target)
    finally:
        discard(part)
        packed.unlink(missing_ok=True)
    return target


def _fill(session: Session, place: Path, *, wheels: bool) -> None:
    events = session.events
    _tell(events, "sources")
    sources = session.fetch_sources()
    _tell(events, "manifest and overlays")
    manifest = copy_inputs(session, place)
    copy_project(place / "project")
    _distfiles(session, sources, place / "distfiles")
    (place / "wheels").mkdir()
    if wheels:
        _tell(events, "Python packages")
        _download(place / "wheels")
    _tell(events, "SDK")
    (place / "sdk").mkdir()
    shutil.copyfile(session.sdk.root.parent / "sdk.json", place / "sdk/sdk.json")
    write_tar(session.sdk.root, place / "sdk/root.tar", epoch=None)
    _write_records(session, place, manifest)


def _write_records(session: Session, place: Path, manifest: Path) -> None:
    """The lock, and the index last: with it, the export is whole."""
    lock = make_lock(session)
    # in the export, an overlay from git is a directory beside the manifest
    plain = {
        name: item.model_copy(update={"git": None, "commit": None}) for name, item in lock.overlays.items()
    }
    write_file(lock.model_copy(update={"overlays": plain}), place / "colvert.lock")
    for path in (manifest, place / "colvert.lock", *(place / "sdk").iterdir()):
        path.chmod(0o644)
    loaded = session.loaded
    index = Index(
        version=loaded.version,
        epoch=loaded.epoch,
        commit=loaded.commit,
        dirty=loaded.dirty,
        text_digest=loaded.text_digest,
        sdk=session.sdk.id,
        recipe=recipe_digest(),
        items=survey(place),
    )
    (place / INDEX).write_text(index.text(), encoding="utf-8")


def _distfiles(session: Session, sources: Iterable[Distfile], target: Path) -> None:
    target.mkdir()
    for item in sources:
        there = target / item.name
        shutil.copyfile(session.builder.fetcher.path(item), there)
        there.chmod(0o644)


def _download(target: Path) -> None:
    try:
        download(REQUIREMENTS, target)
    except ColvertError as error:
        hint = "use --without-wheels to export without the Python packages"
        raise error.but(what=f"the Python packages cannot be downloaded: {error.what}", hint=hint) from error
    for path in target.iterdir():
        os.chmod(path, 0o644)


def _tell(events: Events, phase: str) -> None:
    events.emit(Event(kind=Kind.PHASE, stage="export", phase=phase))
