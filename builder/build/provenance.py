"""Provenance of a build: parameters, materials and toolchain behind every delivered file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from builder.build.session import Session
from builder.build.targets import read_settings
from builder.build.trusted_keys import trusted_keys
from builder.describe.gittree import git_tree
from builder.describe.provenance import Build, Material, make_statement
from builder.describe.toolchain import toolchain
from builder.manifest.fields import SourcePath
from builder.manifest.load import LoadedManifest
from builder.manifest.model import GitOverlay
from builder.pipeline.key import Json, digest_bytes, digest_file
from builder.sandbox.debian import SUITE
from builder.texts import public
from builder.updates.delta import Earlier

VERSION = 1
CHUNK = 1 << 20


def provenance(
    session: Session, targets: Sequence[str], subjects: Mapping[str, str], earlier: Sequence[Earlier] = ()
) -> bytes:
    """The statement about the files in `subjects` (path -> SHA-256).

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
        versions=toolchain(),
    )
    return make_statement(build, subjects)


def _settings(loaded: LoadedManifest) -> dict[str, Json]:
    """The manifest as it was merged, command line included; mirrors decide nothing."""
    shown: dict[str, Json] = loaded.manifest.shown(read_settings(loaded))
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
        more: dict[str, Json] = {"size": item.size, "uris": [public(uri) for uri in item.uris]}
        yield Material(f"distfile:{item.name}", digests, public(item.uris[0]) if item.uris else None, more)
    for name, key in sorted(trusted_keys(session).items()):
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
        digests = {"gitTree": git_tree(session.store.place(session.overlays[overlay.name]))}
        uri, more = None, dict[str, Json]()
        if isinstance(entry, GitOverlay):
            digests["gitCommit"] = entry.commit
            uri = f"git+{public(entry.git)}@{entry.commit}"
            more = {"path": entry.path} if entry.path else {}
        yield Material(f"overlay:{overlay.name}", digests, uri, more)
