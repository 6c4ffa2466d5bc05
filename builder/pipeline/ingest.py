"""Copies of the user's inputs in the store, made before a stage reads them.

The copy is hashed, and a stage sees the copy: a file edited while a build runs belongs to the next build.
Modes count as git sees them.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from fnmatch import translate
from pathlib import Path

from builder.errors import Code, ColvertError, Location
from builder.pipeline.artifact import Artifact
from builder.pipeline.files import kind as kind_of
from builder.pipeline.index import Item, Type, as_git_sees, digest, survey
from builder.pipeline.inside import Inside
from builder.pipeline.key import digest_content, walk
from builder.pipeline.store import Store

# never part of an input: what version control and Python keep beside it, and what editors do (vim's swap
# files, backups, Emacs' locks and auto-saves)
SKIPPED = frozenset({".git", ".hg", ".svn", "__pycache__"})
EDITORS = ("*~", ".*.sw?", ".#*", "#*#")
IS_EDITORS = re.compile("|".join(translate(pattern) for pattern in EDITORS))


def ingest_tree(store: Store, kind: str, root: Path) -> Artifact:
    """Take a directory in, without version control's and editors' own files.

    Raises OVERLAY_INVALID for what is no file, directory or link, and for a link that leads out of it or to
    nothing.
    """
    files: dict[str, Path] = {}
    links: dict[str, str] = {}
    for name, entry in _visible(root):
        info = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(info.st_mode):
            links[name] = _link(root, name, entry.path)
        elif stat.S_ISREG(info.st_mode):
            files[name] = Path(entry.path)
        elif not stat.S_ISDIR(info.st_mode):
            raise _refused(
                Path(entry.path), f"a {kind_of(info.st_mode)}; only files and directories are read"
            )
    return _ingest(store, kind, files, links)


def ingest_files(store: Store, kind: str, files: Mapping[str, Path]) -> Artifact:
    """Ingest files under these names; a link to a file counts as the file.

    Raises OVERLAY_INVALID for anything but regular files.
    """
    for path in files.values():
        try:
            info = path.stat()
        except OSError as error:
            raise _refused(path, f"unreadable: {error.strerror}") from error
        if not stat.S_ISREG(info.st_mode):
            raise _refused(path, f"a {kind_of(info.st_mode)}, not a file")
    return _ingest(store, kind, {name: path.resolve() for name, path in files.items()}, {})


def ingest_texts(store: Store, kind: str, texts: Mapping[str, bytes]) -> Artifact:
    """Ingest texts as files under these names."""
    with store.workdir() as scratch:
        return _put(store, kind, scratch, {}, {}, texts)


def _visible(root: Path) -> Iterable[tuple[str, os.DirEntry[str]]]:
    skipped: set[str] = set()
    for name, entry in walk(root):
        folder = name.rpartition("/")[0]
        if folder in skipped or entry.name in SKIPPED or IS_EDITORS.match(entry.name):
            skipped.add(name)
        else:
            yield name, entry


def _link(root: Path, name: str, path: str) -> str:
    target = os.readlink(path)
    base = os.path.realpath(root)
    if not os.path.realpath(path).startswith(f"{base}/"):
        raise _refused(root / name, f"a link to {target}, outside {root}")
    if not os.path.exists(path):
        raise _refused(root / name, f"a dangling link to {target}")
    steps = os.path.normpath(os.path.join(os.path.dirname(name), target))
    if os.path.isabs(target) or steps.split("/")[0] == "..":
        # it means another place where the overlay is copied to
        raise _refused(root / name, f"a link to {target}, which names {root} itself: make it relative")
    return target


def _refused(path: Path, what: str) -> ColvertError:
    return ColvertError(Code.OVERLAY_INVALID, f"it is {what}", where=Location(str(path)))


def _ingest(store: Store, kind: str, files: Mapping[str, Path], links: Mapping[str, str]) -> Artifact:
    expected = Artifact(kind, digest(_items(files, links)))
    if store.has(expected):
        return expected
    with store.workdir() as scratch:
        return _put(store, kind, scratch, files, links, {})


def _put(
    store: Store,
    kind: str,
    scratch: Path,
    files: Mapping[str, Path],
    links: Mapping[str, str],
    texts: Mapping[str, bytes],
) -> Artifact:
    out = scratch / "ingested"
    out.mkdir()
    with Inside(out) as place:
        for name, path in files.items():
            place.copy(path, name)
        for name, text in texts.items():
            place.write(name, text)
        for name, target in links.items():
            place.symlink(target, name)
        for item in as_git_sees(survey(out)):
            if item.type is not Type.LINK:
                place.chmod(item.name, item.mode)
    return store.put(kind, out)[0]


def _items(files: Mapping[str, Path], links: Mapping[str, str]) -> list[Item]:
    """The index that these would have in the store, computed without copying."""
    found: dict[str, Item] = {}
    for name, path in files.items():
        info = path.stat()
        found[name] = Item(name, Type.FILE, stat.S_IMODE(info.st_mode), digest_content(path, info.st_size))
    for name, target in links.items():
        found[name] = Item(name, Type.LINK, 0o777, target)
    return _with_folders(found)


def select(store: Store, kind: str, sources: Mapping[str, tuple[Artifact, str]]) -> Artifact:
    """An artifact made of files of others: new name -> (artifact, name in it). Links count as their files.

    Nothing is read of what the store has already.
    """
    files: dict[str, Path] = {}
    items: dict[str, Item] = {}
    for name, (artifact, old) in sources.items():
        index = store.by_name(artifact)
        try:
            item = index[resolve(index, old)]
        except KeyError:
            raise _refused(Path(old), f"not in {artifact.kind}, or a link to nothing") from None
        items[name] = Item(name, Type.FILE, item.mode, item.value)
        files[name] = store.place(artifact) / item.name
    expected = Artifact(kind, digest(_with_folders(items)))
    if store.has(expected):
        return expected
    for artifact in {artifact for artifact, _ in sources.values()}:
        store.check(artifact)
    return ingest_files(store, kind, files)


def resolve(index: Mapping[str, Item], name: str) -> str:
    """Follow the links of a name inside an artifact. Raises KeyError where it leads to nothing."""
    for _ in range(40):
        parts = name.split("/")
        for depth in range(1, len(parts) + 1):
            prefix = "/".join(parts[:depth])
            item = index.get(prefix)
            if item is not None and item.type is Type.LINK:
                rest = parts[depth:]
                name = os.path.normpath("/".join([*parts[: depth - 1], item.value, *rest]))
                break
        else:
            if name not in index:
                raise KeyError(name)
            return name
    raise KeyError(name)


def _with_folders(found: dict[str, Item]) -> list[Item]:
    for name in list(found):
        parts = name.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            found[folder] = Item(folder, Type.DIRECTORY, 0o755, "")
    # as `walk` goes: each directory's names sorted, what is below one behind it
    return as_git_sees(found[name] for name in sorted(found, key=lambda one: one.split("/")))
