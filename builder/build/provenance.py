"""Provenance: what a build leaves -> one statement of how all of it was made."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import builder
from builder.build.session import Session
from builder.build.trusted_keys import ring
from builder.describe.gittree import git_tree
from builder.describe.provenance import Build, Material, make_statement
from builder.manifest.fields import SourcePath
from builder.manifest.load import LoadedManifest
from builder.manifest.model import GitOverlay
from builder.pipeline.key import Json, digest_bytes, digest_file, walk
from builder.pipeline.stage import Stage, Work
from builder.pipeline.store import Entry
from builder.sandbox.debian import SUITE
from builder.updates.delta import Earlier

VERSION = 1
CHUNK = 1 << 20


def provenance(
    session: Session, targets: Sequence[str], delivered: Mapping[str, Entry], earlier: Sequence[Earlier] = ()
) -> bytes:
    """The statement about everything in `delivered` (directory -> what is in it).

    `earlier` are the releases from which deltas start.
    """
    build = Build(
        external={
            "manifest": manifest_path(session.loaded),
            "targets": list(targets),
            "settings": _settings(session.loaded),
        },
        internal={
            "version": session.loaded.version,
            "epoch": session.loaded.epoch,
            "locked": session.lock is not None,
            "bumps": _bumps(session),
        },
        materials=[*_materials(session), *_earlier(earlier)],
        versions={"colvert": builder.__version__},
    )
    return make_statement(build, file_digests(session, delivered))


def _settings(loaded: LoadedManifest) -> dict[str, Json]:
    """The manifest as it was merged, command line included; mirrors decide nothing."""
    shown: dict[str, Json] = loaded.manifest.shown()
    return {key: value for key, value in shown.items() if key != "distfile_mirrors"}


def _bumps(session: Session) -> list[Json]:
    """The warnings that stay: sources that were gone, and what was taken instead."""
    return [
        {"package": bump.node.atom, "pinned": bump.node.version, "taken": bump.version, "gone": bump.distfile}
        for bump in session.bumps
    ]


def manifest_path(loaded: LoadedManifest) -> str:
    """Where the manifest is in its repository; outside of one, only its name."""
    path = loaded.path.resolve()
    root = next((parent for parent in path.parents if (parent / ".git").exists()), path.parent)
    return str(path.relative_to(root))


# --- materials --------------------------------------------------------------------


def _materials(session: Session) -> Iterator[Material]:
    yield _manifest(session.loaded)
    yield from _files(session.loaded)
    yield from _overlays(session)
    packages = sorted(session.plan.packages, key=lambda node: node.cpv)
    sources = {(item.name, item.sha512): item for node in packages for item in session.builder.sources(node)}
    for _, item in sorted(sources.items()):
        digests = {"blake2b": item.blake2b, "sha512": item.sha512}
        more: dict[str, Json] = {"size": item.size, "uris": list(item.uris)}
        yield Material(f"distfile:{item.name}", digests, item.uris[0] if item.uris else None, more)
    for name, key in sorted(ring(session).items()):
        yield Material(f"key:{name}", {"sha256": digest_bytes(key.pem)})
    listed = digest_file(session.sdk.root / "etc/sdk-packages")
    yield Material("sdk", {"sha256": session.sdk.id}, None, {"suite": SUITE, "packages": listed})


def _manifest(loaded: LoadedManifest) -> Material:
    """The commit, unless something differs from it: then the texts' digest is all that is sure."""
    digests = {"sha256": loaded.text_digest}
    if loaded.commit and not loaded.dirty:
        digests["gitCommit"] = loaded.commit
    return Material(
        "manifest", digests, None, {"dirty": True, "above": loaded.commit} if loaded.dirty else {}
    )


def _files(loaded: LoadedManifest) -> Iterator[Material]:
    """The files that the manifest names."""
    named: list[SourcePath] = [
        *loaded.manifest.kernel.fragments,
        *(item.source for item in loaded.manifest.files if item.source is not None),
    ]
    for text, source in sorted({item.text: item for item in named}.items()):
        yield Material(f"file:{text}", {"sha256": source.sha256()})


def _earlier(releases: Sequence[Earlier]) -> Iterator[Material]:
    for one in releases:
        yield Material(f"release:{one.index.version}", {"sha256": digest_bytes(one.index.payload())})


def _overlays(session: Session) -> Iterator[Material]:
    for entry, overlay in zip(session.loaded.manifest.overlays, session.settings.overlays, strict=True):
        digests = {"gitTree": git_tree(overlay.path)}
        uri, more = None, dict[str, Json]()
        if isinstance(entry, GitOverlay):
            digests["gitCommit"] = entry.commit
            uri = f"git+{entry.git}@{entry.commit}"
            more = {"path": entry.path} if entry.path else {}
        yield Material(f"overlay:{overlay.name}", digests, uri, more)


# --- subjects ---------------------------------------------------------------------


def file_digests(session: Session, delivered: Mapping[str, Entry]) -> dict[str, str]:
    """The SHA-256 of every file as it is delivered; read once, then known to the store.

    A folder may be "": what is delivered beside the folders.
    """

    def obtain(item: tuple[str, Entry]) -> dict[str, str]:
        folder, entry = item
        stage = Stage(
            "digests",
            folder,
            VERSION,
            {"entry": entry.digest},
            lambda work: _make_digests(work, entry),
            (entry,),
        )
        found = json.loads((session.executor.obtain(stage).out / "sha256.json").read_text())
        return {str(PurePosixPath(folder) / name): digest for name, digest in found.items()}

    with ThreadPoolExecutor(session.cores, thread_name_prefix="digests") as pool:
        return {
            name: digest for found in pool.map(obtain, delivered.items()) for name, digest in found.items()
        }


def _make_digests(work: Work, entry: Entry) -> None:
    found = {
        name: sha256(Path(item.path)) for name, item in walk(entry.out) if item.is_file(follow_symlinks=False)
    }
    (work.out / "sha256.json").write_text(json.dumps(found, indent=1))


def sha256(path: Path) -> str:
    """The SHA-256 of a file, of which holes are counted but not read."""
    digest, zeros = hashlib.sha256(), bytes(CHUNK)
    with path.open("rb") as stream:
        position, end = 0, os.fstat(stream.fileno()).st_size
        while position < end:
            try:
                data = os.lseek(stream.fileno(), position, os.SEEK_DATA)
            except OSError:  # ENXIO: only a hole is left
                data = end
            for start in range(position, data, CHUNK):
                digest.update(zeros[: data - start])
            if data == end:
                break
            hole = os.lseek(stream.fileno(), data, os.SEEK_HOLE)
            for start in range(data, hole, CHUNK):
                digest.update(os.pread(stream.fileno(), min(CHUNK, hole - start), start))
            position = hole
    return digest.hexdigest()
