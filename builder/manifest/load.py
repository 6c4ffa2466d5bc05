"""Manifest files loaded into a checked model that has the position of every value."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from builder import arch
from builder.errors import Code, ColvertError, Location
from builder.manifest import template, version
from builder.manifest.fields import Text
from builder.manifest.layers import Layers
from builder.manifest.marks import Entry, Items, Mark, Scalar, Source, Table, Value
from builder.manifest.merge import merge
from builder.manifest.model import Manifest
from builder.manifest.problems import Loc, Problems, explain

DEFAULT = Location("default")


@dataclass(frozen=True)
class LoadedManifest:
    """A manifest with where it came from: files, git commit, and the place of each value."""

    path: Path
    manifest: Manifest
    files: tuple[str, ...]
    text_digest: str
    commit: str
    dirty: bool
    tree: Table = field(repr=False)

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def version_from_git(self) -> bool:
        """Whether another commit of the same manifest has another version."""
        entry = self.tree.entries.get("version")
        return entry is None or (isinstance(entry.value, Scalar) and entry.value.text in (None, "git"))

    @property
    def epoch(self) -> int:
        """SOURCE_DATE_EPOCH of everything that is built from this manifest."""
        return self.manifest.epoch

    def place(self, path: Loc, of_key: bool) -> Location:
        """Where the value at `path` or its key stands, or the nearest thing around it."""
        return place(self.tree, path, of_key)[0]

    def origin(self, path: Loc) -> Location:
        """Where the value at `path`, such as ("packages", 3), was written; `default` if nowhere."""
        found, whole = place(self.tree, path, False)
        return found if whole else DEFAULT


def load(path: Path, *, overrides: Mapping[str, str] = {}) -> LoadedManifest:
    """Read a manifest with all that it includes, and check it.

    `overrides` are values from the command line by dotted key (`usr.compression`), written
    as in a manifest; they merge last. Every mistake is one ColvertError with the rest in
    `others`; nothing else is ever raised for what a file holds.
    """
    problems = Problems()
    layers = Layers(problems)
    tree: Value = Table({}, Mark(Source(str(path), Path.cwd())))
    for layer in [*layers.read(path), *layers.overrides(overrides)]:
        tree = merge(tree, layer, problems)
    if problems.broken or not isinstance(tree, Table):
        problems.raise_any()
        raise AssertionError("a broken manifest reported no error")
    # places of the whole manifest (a missing `id`) are the file that was asked for
    tree = Table(tree.entries, Mark(Source(str(path), Path.cwd())))
    identity = _Identity(tree, path, problems)
    data = _Filled(identity.variables(), problems).table(identity.settled())
    manifest = _validate(data, tree, problems)
    problems.raise_any()
    assert manifest is not None
    revision = identity.revision
    return LoadedManifest(
        path=path,
        manifest=manifest,
        files=layers.files,
        text_digest=_digest(layers.texts, overrides),
        commit=revision.commit if revision else "",
        dirty=revision.dirty if revision else False,
        tree=tree,
    )


def _digest(texts: list[bytes], overrides: Mapping[str, str]) -> str:
    """One digest of all texts, whatever their files are called."""
    parts = [*texts, *(f"{key}={value}".encode() for key, value in sorted(overrides.items()))]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


class _Identity:
    """What has to be known before anything can be filled in: id, version and clock."""

    def __init__(self, tree: Table, path: Path, problems: Problems) -> None:
        self.tree = tree
        self.path = path
        self.problems = problems
        self.revision: version.Revision | None = None
        # git has a work tree here, and an error has told that it cannot be read
        self.unread = False
        wanted = self._text("version", "git")
        if "git" in (wanted, self._text("epoch", "git")) or template.is_template(wanted):
            self._ask_git()
        self.epoch = self._epoch()
        self.version = self._version()

    def _text(self, key: str, default: str) -> str:
        entry = self.tree.entries.get(key)
        if entry is None or not isinstance(entry.value, Scalar) or entry.value.text is None:
            return default
        return entry.value.text

    def _where(self, key: str) -> Location:
        return place(self.tree, (key,), False)[0]

    def _ask_git(self) -> None:
        try:
            self.revision = version.revision(self.path.resolve().parent)
        except ColvertError as error:
            self.unread = True
            self.problems.add(
                error.code, error.what, self._where("version"), hint=error.hint, detail=error.detail
            )

    def _epoch(self) -> str:
        text = self._text("epoch", "git")
        if text != "git":
            return text
        if self.revision:
            return str(self.revision.epoch)
        # the one way a source archive without git can say it (reproducible-builds.org's name)
        given = os.environ.get("SOURCE_DATE_EPOCH", "")
        if given.isascii() and given.isdigit():
            return given
        self._needs_git("epoch", "write `epoch: SECONDS` into the manifest, or set SOURCE_DATE_EPOCH")
        return "0"

    def _version(self) -> str:
        text = self._text("version", "git")
        if template.is_template(text):
            known = {key: value for key, value in self.variables().items() if key != "version"}
            try:
                return template.render(text, known)
            except ValueError as error:
                self.problems.add(Code.MANIFEST_INVALID, str(error), self._where("version"))
                return "0"
        if text != "git":
            return text
        if self.revision:
            return self.revision.version
        self._needs_git("version", "write `version: 1.2.3` into the manifest")
        return "0"

    def _needs_git(self, key: str, hint: str) -> None:
        if not self.unread:
            what = f"`{key}: git` requires a git work tree with a commit"
            self.problems.add(Code.MANIFEST_INVALID, what, self._where(key), hint=hint)

    def variables(self) -> dict[str, str | int]:
        """Variables for expressions."""
        return {
            "version": getattr(self, "version", ""),
            "commit": self.revision.commit if self.revision else "",
            "epoch": int(self.epoch[:15]) if self.epoch.isascii() and self.epoch.isdigit() else 0,
            "id": self._text("id", ""),
            "architecture": self._text("architecture", arch.DEFAULT.name),
        }

    def settled(self) -> Table:
        """The tree with version and epoch as they turned out (unless of a wrong type)."""
        entries = dict(self.tree.entries)
        for key, text in (("version", self.version), ("epoch", self.epoch)):
            entry = entries.get(key)
            if entry is None or (isinstance(entry.value, Scalar) and entry.value.text is not None):
                mark = entry.value.mark if entry else self.tree.mark
                entries[key] = Entry(mark, Scalar(text, mark))
        return Table(entries, self.tree.mark)


class _Filled:
    """The tree as plain data for the model, expressions filled in."""

    def __init__(self, variables: Mapping[str, str | int], problems: Problems) -> None:
        self.variables = variables
        self.problems = problems

    def table(self, table: Table) -> dict[str, object]:
        return {key: self.value(entry.value) for key, entry in table.entries.items()}

    def value(self, value: Value) -> object:
        if isinstance(value, Table):
            return self.table(value)
        if isinstance(value, Items):
            return [self.value(member) for member in value.members]
        if value.text is None:
            return None
        text = value.text
        if template.is_template(text):
            try:
                text = template.render(text, self.variables)
            except ValueError as error:
                self.problems.add(Code.MANIFEST_INVALID, str(error), value.mark.location)
        return Text(text, value.mark.source.directory)


def _validate(data: dict[str, object], tree: Table, problems: Problems) -> Manifest | None:
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:

        def where(loc: Loc, of_key: bool) -> Location:
            return place(tree, loc, of_key)[0]

        details = error.errors(include_url=False)
        explain(details, Manifest, where, problems, more_keys=("include",))
    return None


def place(tree: Table, path: Loc, of_key: bool) -> tuple[Location, bool]:
    """The deepest place on the way to `path`, and whether the way was found to its end.

    Steps that are not in the file (pydantic's union tags) are passed over.
    """
    here: Value = tree
    mark = key_mark = tree.mark
    whole = True
    for number, part in enumerate(path):
        last = number == len(path) - 1
        if isinstance(here, Table) and str(part) in here.entries:
            entry = here.entries[str(part)]
            here, key_mark = entry.value, entry.mark
            mark = key_mark if of_key and last else here.mark
        elif isinstance(here, Items) and isinstance(part, int) and part < len(here.members):
            here = here.members[part]
            mark = here.mark
        elif part == "[key]":
            mark = key_mark
        else:
            whole = False
    return mark.location, whole
