"""Copies of artifacts or parts outside the store, with the modes of their index."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

from builder.pipeline.index import Item, Type
from builder.pipeline.inside import Inside


def checkout(source: Path, items: Iterable[Item], target: Path) -> Path:
    """Copy the `items` of `source` into the new directory `target`; reflinks where the disk has them.

    What is copied may then be changed: it shares nothing with the store.
    """
    target.mkdir(mode=0o755, parents=True)
    target.chmod(0o755)
    with Inside(target) as place:
        lay(source, items, place)
    return target


def lay(source: Path, items: Iterable[Item], place: Inside, prefix: str = "") -> None:
    """Copy the `items` of `source` below `prefix` in a directory that may hold others'.

    A directory or an equal link that is there already is shared; FileExistsError for anything else.
    """
    closed: list[tuple[str, int]] = []
    for item in items:
        name = f"{prefix}{item.name}"
        if item.type is Type.DIRECTORY:
            place.make_directory(name)
            if item.mode != 0o755:
                closed.append((name, item.mode))
        elif item.type is Type.LINK:
            _link(place, name, item.value)
        else:
            try:
                place.copy(source / item.name, name, item.mode)
            except FileExistsError as error:
                raise FileExistsError(error.errno, error.strerror, name) from None
    # last and from the inside, since a mode may forbid to write
    for name, mode in reversed(closed):
        place.chmod(name, mode)


def _link(place: Inside, name: str, target: str) -> None:
    """Make a link, unless just this one is there."""
    try:
        place.symlink(target, name)
    except FileExistsError as error:
        found = place.stat(name)
        if found is None or not stat.S_ISLNK(found.st_mode) or place.readlink(name) != target:
            raise FileExistsError(error.errno, error.strerror, name) from None
