"""Manifests of packages, written from the sources that their ebuilds name."""

from __future__ import annotations

import json
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.build.session import Session
from builder.errors import Code, ColvertError, Location, raise_all
from builder.manifest.model import GitOverlay
from builder.packages.fetch import Fetcher, manifest_line
from builder.packages.manifest_file import read_lines, renew, sources_in
from builder.packages.overlay import Overlay
from builder.packages.portage.config import ENVIRONMENT, HERE, SYSROOT, TMPFS, binds, write_config
from builder.packages.repository import check_files
from builder.pipeline.files import write_atomic
from builder.pipeline.lock import held
from builder.pipeline.reading import kind_of
from builder.sandbox.run import Bind, hand_over, run
from builder.texts import nearest, quote

SCRIPT = "sources.py"
_PACKAGE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9+_.-]*/[A-Za-z0-9_][A-Za-z0-9+_.-]*")


@dataclass(frozen=True)
class Wanted:
    """A package of an overlay, and one version of it or (an empty text) all."""

    overlay: Overlay
    package: str
    version: str = ""

    @property
    def manifest(self) -> Path:
        return self.overlay.path / self.package / "Manifest"


@dataclass(frozen=True)
class Written:
    """A Manifest, and whether it is another one than before."""

    path: Path
    changed: bool


def write_manifest(session: Session, named: str) -> Written:
    """Fetch the sources of CATEGORY/NAME (all versions) or CATEGORY/NAME-VERSION and renew their lines.

    Every other line of the Manifest stays, and so does that of a source that no place has any more.
    """
    wanted = find_package(session, named)
    mode = _mode(wanted.manifest)
    pinned = sources_in(read_lines(wanted.manifest))
    fresh = _fetched(session, wanted, pinned)
    # two of these at once: neither loses what the other wrote
    with held(session.home.cache / "digest.lock"):
        before = read_lines(wanted.manifest)
        after = renew(before, fresh)
        if after != before:
            write_atomic(wanted.manifest, after, mode)
    return Written(wanted.manifest, after != before)


def find_package(session: Session, named: str) -> Wanted:
    """The package in the last of the manifest's overlays that has it; one in git cannot be written."""
    if not _PACKAGE.fullmatch(named):
        what = f"{quote(named)} is not CATEGORY/NAME or CATEGORY/NAME-VERSION"
        raise ColvertError(Code.UNKNOWN_PACKAGE, what)
    overlays = list(zip(session.loaded.manifest.overlays, session.settings.overlays, strict=True))
    found = [(entry, one) for entry, overlay in reversed(overlays) for one in _in_overlay(overlay, named)]
    for entry, one in found:
        if not isinstance(entry, GitOverlay):
            return one
    if found:
        what = f"{named} is in the overlay {found[0][1].overlay.name}, which is a git URL and read-only"
        raise ColvertError(
            Code.USAGE, what, hint="clone it, and use the directory as the overlay in the manifest"
        )
    known = [
        f"{path.parent.parent.name}/{path.parent.name}"
        for _, overlay in overlays
        for path in overlay.path.glob("*/*/*.ebuild")
    ]
    what = f"no overlay has the package {quote(named)}{nearest(named, sorted(set(known)))}"
    raise ColvertError(Code.UNKNOWN_PACKAGE, what)


def _in_overlay(overlay: Overlay, named: str) -> Iterator[Wanted]:
    if any((overlay.path / named).glob("*.ebuild")):
        yield Wanted(overlay, named)
    category, _, full = named.partition("/")
    for cut in (match.start() for match in re.finditer("-", full)):
        if (overlay.path / category / full[:cut] / f"{full}.ebuild").is_file():
            yield Wanted(overlay, f"{category}/{full[:cut]}", full[cut + 1 :])


def _mode(path: Path) -> int:
    """The permissions that a new Manifest gets: those of the old one."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return 0o644
    if kind := kind_of(mode):
        raise ColvertError(Code.OVERLAY_INVALID, f"{kind}, not a regular file", where=Location(str(path)))
    return stat.S_IMODE(mode)


def _fetched(session: Session, wanted: Wanted, pinned: set[str]) -> dict[str, str]:
    """The line of every source that could be fetched."""
    fetcher = Fetcher(session.home.distfiles, session.sdk.mirror, session.events, session.mirrors)
    fresh: dict[str, str] = {}
    errors: list[ColvertError] = []
    for name, addresses in sorted(_sources(session, wanted).items()):
        with tempfile.TemporaryDirectory(dir=session.home.cache) as scratch:
            try:
                fresh[name] = manifest_line(name, fetcher.trust(name, addresses, Path(scratch)))
            except ColvertError as error:
                if error.code is not Code.FETCH_FAILED or name not in pinned:
                    errors.append(error)
                else:
                    session.events.warning(f"{error.what}: its line in {wanted.manifest} was not changed")
    if errors:
        hint = f"use colvert digest {wanted.package}-VERSION for one version only"
        errors[-1] = errors[-1].but(hint=errors[-1].hint or hint)
    raise_all(errors)
    return fresh


def _sources(session: Session, wanted: Wanted) -> dict[str, tuple[str, ...]]:
    """Name and addresses of the sources of all versions that are wanted, whatever their USE is."""
    versions = _ask_portage(session, wanted)
    if wanted.version:
        versions = {
            cpv: files for cpv, files in versions.items() if cpv == f"{wanted.package}-{wanted.version}"
        }
    if not versions:
        what = f"Portage finds no ebuild of {wanted.package} {wanted.version}".rstrip()
        raise ColvertError(Code.UNKNOWN_PACKAGE, what, where=Location(str(wanted.manifest.parent)))
    found: dict[str, dict[str, None]] = {}
    for files in versions.values():
        for name, addresses in files.items():
            found.setdefault(name, {}).update(dict.fromkeys(addresses))
    return {name: tuple(addresses) for name, addresses in found.items()}


def _ask_portage(session: Session, wanted: Wanted) -> Mapping[str, Mapping[str, list[str]]]:
    """Every version of the package in its overlay -> its sources."""
    home, sdk = session.home, session.sdk
    with tempfile.TemporaryDirectory(dir=home.cache) as scratch:
        work = Path(scratch)
        work.chmod(0o755)
        write_config(session.settings.configuration, work / "config", [HERE / SCRIPT])
        for overlay in session.settings.overlays:
            check_files(overlay.path)
            shutil.copytree(overlay.path, work / "repos" / overlay.name, symlinks=True)
        box = sdk.sandbox(
            *binds(sdk, work / "config", work / "repos"),
            Bind(hand_over(work / "sysroot"), SYSROOT, writable=True),
            tmpfs=TMPFS,
        )
        question = json.dumps({"repository": wanted.overlay.name, "package": wanted.package}).encode()
        words = ["python3", f"/build/scripts/{SCRIPT}"]
        done = run(words, sandbox=box, env=ENVIRONMENT, stdin=question, code=Code.UNRESOLVABLE)
        answer = json.loads(done.stdout.splitlines()[-1])
    if "error" in answer:
        raise ColvertError(Code.UNRESOLVABLE, answer["error"], where=Location(str(wanted.manifest.parent)))
    versions: dict[str, dict[str, list[str]]] = answer["versions"]
    return versions
