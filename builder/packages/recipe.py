"""Recipe of a package: the files of the overlays that its build can read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from builder.errors import Code, ColvertError, Location
from builder.packages.overlay import Overlay, Settings
from builder.packages.plan import Node, Overlays, Plan
from builder.pipeline.artifact import Artifact
from builder.pipeline.index import Item, Type
from builder.pipeline.ingest import resolve, select
from builder.pipeline.store import Store

# What only the resolver reads (PMS 5.2), or a person: a package's USE is pinned when it is built, and its
# category is written into its own recipe. All else that is in a profile reaches every package.
RESOLVER_ONLY = frozenset(
    {
        "categories",
        "package.accept_keywords",
        "package.deprecated",
        "package.keywords",
        "package.mask",
        "package.provided",
        "package.unmask",
        "package.use",
        "package.use.force",
        "package.use.mask",
        "package.use.stable.force",
        "package.use.stable.mask",
        "packages",
        "packages.build",
        "arches.desc",
        "license_groups",
        "profiles.desc",
        "thirdpartymirrors",
        "use.desc",
        "use.local.desc",
    }
)


@dataclass(frozen=True)
class Recipes:
    """Makes the recipes of a plan's packages."""

    store: Store
    plan: Plan
    settings: Settings
    overlays: Overlays

    @cached_property
    def indexes(self) -> Mapping[str, Mapping[str, Item]]:
        """The paths of each overlay."""
        return {name: self.store.by_name(artifact) for name, artifact in self.overlays.items()}

    def recipe(self, node: Node) -> Artifact:
        """The artifact with all files of the overlays that a package's build sees, by repository."""
        chosen = dict(self._common)
        for folder, name in self._files(node):
            chosen[f"{folder}/{name}"] = (self.overlays[folder], name)
        return select(self.store, "recipe", chosen)

    def ebuild(self, node: Node) -> str:
        """The text of a package's ebuild, in the copy that the store has."""
        name = resolve(self.indexes[node.repository], node.ebuild)
        return (self.store.place(self.overlays[node.repository]) / name).read_text(errors="replace")

    @cached_property
    def _common(self) -> dict[str, tuple[Artifact, str]]:
        """What every package sees: the profiles in use, and what makes a directory a repository."""
        found = {}
        for name, artifact in self.overlays.items():
            folders = {"profiles", *(place for place in self._profiles(name))}
            for path in self.indexes[name]:
                folder, _, base = path.rpartition("/")
                wanted = path == "metadata/layout.conf" or (folder in folders and base not in RESOLVER_ONLY)
                if wanted and self._is_file(name, path):
                    found[f"{name}/{path}"] = (artifact, path)
        return found

    def _profiles(self, repository: str) -> Iterator[str]:
        """The profile directories in use; files in their subdirectories (package.env/...) count too."""
        prefix = f"{repository}/"
        used = [place.removeprefix(prefix) for place in self.plan.profiles if place.startswith(prefix)]
        for path, item in self.indexes[repository].items():
            if item.type is Type.DIRECTORY and path.rpartition("/")[2] not in RESOLVER_ONLY:
                inside = any(path == place or path.startswith(f"{place}/") for place in used)
                if inside and not (set(path.split("/")) & RESOLVER_ONLY):
                    yield path

    def _files(self, node: Node) -> Iterator[tuple[str, str]]:
        """The package's own files: its ebuild, what is in files/, and its eclasses."""
        folder = node.ebuild.rpartition("/")[0]
        yield node.repository, node.ebuild
        index = self.indexes[node.repository]
        yield from ((node.repository, path) for path in self._below(index, f"{folder}/files"))
        for name in node.eclasses:
            yield self._eclass(node, f"eclass/{name}.eclass")

    def _below(self, index: Mapping[str, Item], folder: str) -> Iterator[str]:
        if folder not in index:
            return
        real = resolve(index, folder)
        for path, item in index.items():
            if path.startswith(f"{real}/") and item.type is not Type.DIRECTORY:
                yield f"{folder}/{path.removeprefix(f'{real}/')}"

    def _eclass(self, node: Node, path: str) -> tuple[str, str]:
        """An eclass: the repository's own, else the last master's that has it."""
        overlay = self.overlay(node)
        for name in (overlay.name, *reversed(overlay.masters)):
            if path in self.indexes[name]:
                return name, path
        raise ColvertError(
            Code.UNRESOLVABLE,
            f"{node.cpv} inherits {path}, which does not exist",
            where=Location(str(overlay.path)),
        )

    def overlay(self, node: Node) -> Overlay:
        """The overlay that a package is from."""
        return next(item for item in self.settings.overlays if item.name == node.repository)

    def _is_file(self, repository: str, path: str) -> bool:
        index = self.indexes[repository]
        return index[resolve(index, path)].type is Type.FILE
