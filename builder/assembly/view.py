"""A root directory on which the SDK's tools work as they would on the machine (`--root=`)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.assembly.root import COMPAT, ETC
from builder.assembly.tree import Tree
from builder.pipeline.inside import Inside
from builder.pipeline.key import walk
from builder.sandbox.run import Bind, sandbox_id
from builder.tools.workspace import Bench, bench


@dataclass(frozen=True)
class View:
    """`etc` is a copy that tools may write to, `usr` the tree's own, read-only; the usual links beside."""

    table: Bench
    inside: Inside
    usr: Bind

    @property
    def root(self) -> str:
        """Where tools see it."""
        return self.table.target("root")

    def run(self, *argv: str, env: Mapping[str, str] | None = None) -> None:
        """Run a tool of the SDK."""
        self.table.run(*argv, env=env, binds=(self.usr,))

    def links(self) -> dict[str, str]:
        """The symbolic links in `etc`: path -> target."""
        return {
            f"etc/{name}": os.readlink(entry.path)
            for name, entry in walk(self.inside.root / "etc")
            if entry.is_symlink()
        }


@contextmanager
def view(tree: Tree, name: str, sdk_root: Path) -> Iterator[View]:
    """A `View` of a tree in a work directory called after `name`, gone afterwards."""
    with bench(tree.out.parent / name, sdk_root, {}) as table:
        root = table.work / "root"
        root.mkdir()
        with Inside(root) as inside:
            _fill(inside, tree.out / ETC)
            _hand_over(root)
            yield View(table, inside, Bind((tree.out / "usr").resolve(), table.target("root/usr")))


def _fill(inside: Inside, etc: Path) -> None:
    for folder in ("etc", "usr"):
        inside.make_directory(folder)
    for name, target in COMPAT.items():
        inside.symlink(target, name)
    for name, entry in walk(etc) if etc.is_dir() else ():
        if entry.is_symlink():
            inside.symlink(os.readlink(entry.path), f"etc/{name}")
        elif entry.is_dir():
            inside.make_directory(f"etc/{name}")
        else:
            inside.copy(Path(entry.path), f"etc/{name}", 0o644)


def _hand_over(root: Path) -> None:
    """Give all of it to the id that sandboxed programs run as."""
    owner = sandbox_id()
    if owner is None:
        return
    for path in (root, *(Path(entry.path) for _name, entry in walk(root))):
        os.chown(path, owner, owner, follow_symlinks=False)
