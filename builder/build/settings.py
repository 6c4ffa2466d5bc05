"""Contradictory settings of a manifest, found before anything is built.

What one value can be, its model says; here is what follows from several of them, or from the files
that they name. Each rule is the code of whoever would fail by it later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from builder.arch import ARCHITECTURES
from builder.assembly.rules import WRITTEN, WRITTEN_BELOW, tree_path
from builder.audit.policy import load_policy
from builder.errors import Code, ColvertError, Location
from builder.formats.gpt import LABEL_MAX, label_units, slot_labels
from builder.manifest.fields import SourcePath
from builder.manifest.load import LoadedManifest
from builder.manifest.problems import Loc
from builder.manifest.version import MAX_VERSION
from builder.packages.repository import (
    check_distinct,
    check_masters,
    check_profile,
    read_layout,
    read_repository_name,
)
from builder.pipeline.reading import read_regular
from builder.texts import quote
from builder.updates.keys import read_public
from builder.updates.order import newer

MAX_KEY = 64 << 10
# usrhash=, which the build puts in front
ROOT_HASH_WORD = len("usrhash=") + 64


def find_problems(loaded: LoadedManifest) -> list[ColvertError]:
    """All that is wrong, each at its place."""
    return [
        *_labels(loaded),
        *_files(loaded),
        *_command_line(loaded),
        *_update(loaded),
        *_audit(loaded),
        *_overlays(loaded),
    ]


def _at(loaded: LoadedManifest, what: str, *path: str | int, hint: str = "") -> ColvertError:
    return ColvertError(Code.MANIFEST_INVALID, what, where=loaded.origin(path), hint=hint)


def _tried(call: Callable[[], object]) -> list[ColvertError]:
    """What a check of another room has to say."""
    try:
        call()
    except ColvertError as error:
        return [error]
    return []


def _labels(loaded: LoadedManifest) -> Iterator[ColvertError]:
    """The id and the version are in the labels of the slots' partitions."""
    git, identity = loaded.version_from_git, loaded.manifest.id
    # another commit has a longer one than a tag, or than `DATE.dirty`
    version = "9" * MAX_VERSION if git else loaded.version
    label = max(slot_labels(identity, version), key=label_units)
    over = label_units(label) - LABEL_MAX
    if over > 0:
        named = f"a version from git ({MAX_VERSION} characters)" if git else f"the version {quote(version)}"
        left = len(version) - over
        hint = f"an id of at most {len(identity) - over} characters"
        hint += f", or a fixed `version:` of at most {left}" if left > 0 else ""
        what = f"with {named}, the id {quote(identity)} is {over} characters too long for a GPT label"
        yield _at(loaded, what, "id", hint=hint)


def _files(loaded: LoadedManifest) -> Iterator[ColvertError]:
    """Two files have two places, none is the other's directory, and none is what the build writes itself."""
    seen: dict[PurePosixPath, str] = {}
    for number, file in enumerate(loaded.manifest.files):
        place = PurePosixPath(tree_path(file.path))
        for other, path in seen.items():
            if place == other:
                yield _at(loaded, f"{file.path} and {path} are one file", "files", number, "path")
            elif place in other.parents or other in place.parents:
                what = f"of {file.path} and {path}, one is a file and the other's directory"
                yield _at(loaded, what, "files", number, "path")
        seen[place] = file.path
        if hint := _written(place, bool(loaded.manifest.locales)):
            yield _at(loaded, f"the build writes {file.path} itself", "files", number, "path", hint=hint)


def _written(place: PurePosixPath, locales: bool) -> str:
    """Why a file would be overwritten, or an empty string."""
    written = dict(WRITTEN)
    if locales:
        written[tree_path("/etc/locale.conf")] = "`locales` says what it holds"
    below = (why for above, why in WRITTEN_BELOW.items() if PurePosixPath(above) in place.parents)
    return written.get(str(place)) or next(below, "")


def _command_line(loaded: LoadedManifest) -> Iterator[ColvertError]:
    """A kernel cuts off what is longer than it takes, without a word."""
    size = ROOT_HASH_WORD + sum(1 + len(word.encode()) for word in loaded.manifest.kernel.command_line)
    most = ARCHITECTURES[loaded.manifest.architecture].command_line
    if size > most:
        what = f"the kernel's command line has {size} bytes, and a kernel takes {most}"
        yield _at(
            loaded, what, "kernel", "command_line", hint="move settings into files (sysctl.d, modprobe.d)"
        )


def _update(loaded: LoadedManifest) -> Iterator[ColvertError]:
    """The keys are keys, and a machine with the lowest version can go to this one."""
    update = loaded.manifest.update
    for number, source in enumerate(update.keys):
        where = loaded.origin(("update", "keys", number))
        yield from _tried(lambda source=source, where=where: _read_key(source, where))  # type: ignore[misc]
    if update.from_at_least and newer(update.from_at_least, loaded.version):
        what = f"no machine can have {update.from_at_least} and go to {loaded.version}, which is older"
        yield _at(loaded, what, "update", "from_at_least")


def _read_key(source: SourcePath, where: Location) -> None:
    read_public(read_regular(source.path, MAX_KEY, Code.MANIFEST_INVALID), where)


def _audit(loaded: LoadedManifest) -> list[ColvertError]:
    """The policy of `colvert audit` is one."""
    source = loaded.manifest.audit
    return _tried(lambda: load_policy(source.path)) if source is not None else []


def _overlays(loaded: LoadedManifest) -> Iterator[ColvertError]:
    """Overlays that are directories say who they are; those in git are looked at when they are fetched."""
    manifest = loaded.manifest
    named: list[tuple[str, Location]] = []
    for number, source in enumerate(manifest.overlays):
        if not isinstance(source, SourcePath):
            continue
        where = loaded.origin(("overlays", number))
        try:
            name, layout = read_repository_name(source.path), read_layout(source.path)
            # a master may be in git
            if len(named) == number:
                check_masters(name, layout.masters, (before for before, _ in named), where)
        except ColvertError as error:
            missing = error.code is Code.OVERLAY_MISSING
            yield error.but(where=where) if missing else error
            continue
        named.append((name, where))
    yield from _tried(lambda: check_distinct(named))
    first = manifest.overlays[0] if manifest.overlays else None
    if isinstance(first, SourcePath):
        place: Loc = ("profile",)
        yield from _tried(lambda: check_profile(first.path, manifest.profile, loaded.origin(place)))
