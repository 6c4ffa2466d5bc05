"""Digest of a module's code: its import closure within the project, without comments.

A module counts as its syntax tree without comments, docstrings and layout, so that only an edit of what it
does changes a key. Beside it count the data files that it names in a module-level `DATA`, and the versions
of the libraries that it imports. Python itself does not count: equal inputs have to give equal bytes under
each version that the project supports.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from builder.errors import Code, ColvertError, Location
from builder.pipeline.files import write_atomic
from builder.pipeline.key import digest_bytes, digest_value

PROJECT = Path(__file__).parents[2]
# what remembers facts belongs to the reader that found them
CACHE = f"code-{digest_bytes(Path(__file__).read_bytes())[:12]}.json"
# modules are loaded from here on; what is edited later is not what runs
LOADED = time.time()
# packages of the project; whatever else is imported is a library
ROOTS = ("builder", "tests")
# They report what happens and decide nothing of an output: a stage that fails leaves none.
REPORTING = frozenset({"builder.errors", "builder.pipeline.events"})
# distributions that are not called as what they are imported by
DISTRIBUTIONS = {"yaml": "PyYAML", "jinja2": "Jinja2", "elftools": "pyelftools", "virt": "virt-firmware"}


class Facts(BaseModel):
    """Facts of one module: the digest of its code, its imports, and its data files."""

    model_config = ConfigDict(frozen=True)

    digest: str
    imports: tuple[str, ...]
    data: tuple[str, ...]


@dataclass
class CodeDigests:
    """Digests of import closures; facts are cached in the file `cache` under the SHA-256 of the text."""

    project: Path = PROJECT
    cache: Path | None = None
    # modules that do not count, nor what only they import
    leaves: frozenset[str] = REPORTING
    _known: dict[str, Facts] = field(default_factory=dict)
    _facts: dict[str, Facts] = field(default_factory=dict)
    loaded: float = LOADED
    _digests: dict[str, str] = field(default_factory=dict)
    _known_modules: dict[str, bool] = field(default_factory=dict)
    _fresh: bool = False

    def __post_init__(self) -> None:
        if self.cache is not None:
            self._known = _read_cache(self.cache)

    def closure(self, module: str) -> list[str]:
        """The modules of the project that a module imports, directly or not, and itself; sorted."""
        seen: set[str] = set()
        todo = [module]
        while todo:
            name = todo.pop()
            if name in seen or name in self.leaves:
                continue
            seen.add(name)
            # importing a module runs the packages around it
            todo += [one for one in (name.rpartition(".")[0], *self._project_imports(name)) if one]
        return sorted(seen)

    def digest(self, module: str) -> str:
        """The digest of all that a module can run."""
        if module not in self._digests:
            names = self.closure(module)
            parts: dict[str, str] = {name: self._read(name).digest for name in names}
            for name in names:
                for file in self.data_files(name):
                    parts[str(file.relative_to(self.project))] = digest_bytes(file.read_bytes())
            for library in sorted({one for name in names for one in self._libraries(name)}):
                parts[f"library {library}"] = _version(library)
            self._digests[module] = digest_value(parts)
            self._remember()
        return self._digests[module]

    def of(self, *modules: str) -> str:
        """The digest of all that several modules can run."""
        return digest_value([self.digest(module) for module in modules])

    def check_unchanged(self, *modules: str) -> None:
        """Raise CODE_CHANGED where a file that these modules can reach was edited since this process began.

        The digest would be of the edited text, and the output of the one that was loaded.
        """
        fresh: dict[str, dict[str, object]] = {"_facts": {}, "_digests": {}, "_known_modules": {}}
        now = replace(self, cache=None, **fresh)  # type: ignore[arg-type]
        names = {name for module in modules for name in now.closure(module)}
        files = {now._path(name) for name in names} | {
            file for name in names for file in now.data_files(name)
        }
        late = [path for path in sorted(files) if path.stat().st_mtime > self.loaded]
        if not late and now.of(*modules) == self.of(*modules):
            return
        raise ColvertError(
            Code.CODE_CHANGED,
            "Colvert's own code was edited while it ran, so the result is not kept",
            where=Location(str(late[0] if late else self.project)),
            hint="run the same command again",
        )

    def data_files(self, module: str) -> list[Path]:
        """The files that a module names in DATA; of a folder all in it but hidden ones."""
        base = self._path(module).parent
        found: list[Path] = []
        for name in self._read(module).data:
            path = base / name
            inside = sorted(path.rglob("*")) if path.is_dir() else [path]
            found += [one for one in inside if one.is_file() and not _hidden(one.relative_to(base))]
        return found

    def _project_imports(self, module: str) -> Iterator[str]:
        for name in self._read(module).imports:
            if name.partition(".")[0] in ROOTS:
                # `from package import name`: a module of the package, or a name in it
                found = name if self._exists(name) else name.rpartition(".")[0]
                if self._exists(found):
                    yield found

    def _libraries(self, module: str) -> Iterator[str]:
        for name in self._read(module).imports:
            top = name.partition(".")[0]
            if top not in ROOTS and top not in sys.stdlib_module_names:
                yield top

    def _path(self, module: str) -> Path:
        path = self.project.joinpath(*module.split("."))
        return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")

    def _exists(self, module: str) -> bool:
        found = self._known_modules.get(module)
        if found is None:
            found = self._known_modules[module] = bool(module) and self._path(module).is_file()
        return found

    def _read(self, module: str) -> Facts:
        if module not in self._facts:
            data = self._path(module).read_bytes()
            name = digest_bytes(data)
            facts = self._known.get(name)
            if facts is None:
                facts = self._known[name] = read_facts(data)
                self._fresh = True
            self._facts[module] = facts
        return self._facts[module]

    def _remember(self) -> None:
        if self._fresh and self.cache is not None:
            text = json.dumps({name: facts.model_dump() for name, facts in self._known.items()})
            write_atomic(self.cache, text.encode())
            self._fresh = False


def _read_cache(path: Path) -> dict[str, Facts]:
    """What an earlier process found; a damaged or foreign file is as good as none."""
    try:
        found = json.loads(path.read_bytes())
        return {name: Facts.model_validate(facts) for name, facts in found.items()}
    except (OSError, ValueError, AttributeError, ValidationError):
        return {}


def read_facts(text: bytes) -> Facts:
    """The facts of a module's text."""
    tree = ast.parse(text)
    names = sorted({name for node in ast.walk(tree) for name in _imported(node)})
    return Facts(digest=_digest(tree), imports=tuple(names), data=tuple(_data(tree)))


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _data(tree: ast.Module) -> list[str]:
    """The literal strings of a module-level `DATA = (...)`, a tuple."""
    for node in tree.body:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Tuple):
            continue
        if any(isinstance(target, ast.Name) and target.id == "DATA" for target in node.targets):
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def _digest(tree: ast.Module) -> str:
    found = hashlib.sha256()
    _feed(tree, found.update)
    return found.hexdigest()


def _feed(value: object, update: Callable[[bytes], None]) -> None:
    """Hash a syntax tree: node types, field names and constants, no places and no docstrings."""
    if isinstance(value, ast.AST):
        update(f"({type(value).__name__}".encode())
        for name, found in ast.iter_fields(value):
            documented = name == "body" and isinstance(value, _DOCUMENTED)
            member = _without_docstring(found) if documented else found
            # absent and empty are one: newer versions of Python have more fields
            if member is None or member == [] or name in ("type_comment", "kind"):
                continue
            update(f" {name}=".encode())
            _feed(member, update)
        update(b")")
    elif isinstance(value, list):
        for member in value:
            _feed(member, update)
            update(b",")
    else:
        update(f"{type(value).__name__} {value!r}".encode("utf-8", "surrogatepass"))


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return body[1:] if isinstance(first.value.value, str) else body
    return body


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts) or path.name.endswith(
        "~"
    )


@cache
def _version(library: str) -> str:
    try:
        return metadata.version(DISTRIBUTIONS.get(library, library))
    except metadata.PackageNotFoundError:
        return "unknown"
