"""Copy of the checkout's inputs that gives the same keys elsewhere.

Includes are merged, expressions filled in, version and clock fixed, overlays from git laid out: the
copy requires neither git nor a certain path.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from builder.build.lockfile import PROJECT
from builder.build.session import Session
from builder.build.targets import read_settings
from builder.manifest.fields import SourcePath
from builder.manifest.template import is_template

MANIFEST = "manifest.yaml"
# what setting up and running a checkout needs
PROJECT_PARTS = ("builder", "ci", "LICENSE", "README.md", "pyproject.toml", "requirements.lock")


def copy_inputs(session: Session, target: Path) -> Path:
    """Write the manifest with everything that it names into `target`; returns the manifest."""
    loaded = session.loaded
    copier, settings = _Copier(target), read_settings(loaded)
    manifest = loaded.manifest.model_copy(update={"platforms": settings})
    whole = {
        **copier.written(manifest, loaded.manifest.shown(settings)),
        "version": loaded.version,
        "epoch": loaded.epoch,
        "overlays": [f"overlays/{overlay.name}" for overlay in session.settings.overlays],
        # a mirror is no part of any result
        "distfile_mirrors": [],
    }
    for overlay in session.settings.overlays:
        shutil.copytree(overlay.path, target / "overlays" / overlay.name, symlinks=True)
        # an overlay from git is read-only
        _writable(target / "overlays" / overlay.name)
    path = target / MANIFEST
    path.write_text(yaml.safe_dump(whole, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def _writable(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o200)


def copy_project(target: Path) -> None:
    """Copy the Colvert that runs, without what is not its own (.git, .venv, caches)."""
    for name in PROJECT_PARTS:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(
                source,
                target / name,
                symlinks=True,
                ignore=shutil.ignore_patterns("__pycache__", "*.pyc"),
            )
        elif source.is_file():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)


@dataclass
class _Copier:
    """Copies the files that a manifest names, and says what stands for each."""

    target: Path
    count: int = 0

    def written(self, value: BaseModel, shown: Mapping[str, Any]) -> dict[str, Any]:
        """A part of the manifest as a manifest writes it, with paths that lead to the copies."""
        return {key: self._value(getattr(value, key), inner) for key, inner in shown.items()}

    def _value(self, value: Any, shown: Any) -> Any:
        if isinstance(value, SourcePath):
            return shown if value.path.is_dir() else self._copy(value.path)
        if isinstance(value, BaseModel):
            return self.written(value, shown)
        if isinstance(value, Mapping):
            return {
                key: self._value(item, inner)
                for (key, inner), item in zip(shown.items(), value.values(), strict=True)
            }
        if isinstance(value, tuple):
            return [self._value(item, inner) for item, inner in zip(value, shown, strict=True)]
        return _literal(shown)

    def _copy(self, path: Path) -> str:
        # the name of a kernel fragment is part of a key
        place = Path("files") / f"{self.count:03}" / path.name
        self.count += 1
        (self.target / place.parent).mkdir(parents=True)
        shutil.copy2(path, self.target / place)
        return str(place)


def _literal(value: Any) -> Any:
    """A value that the loader takes as it is: braces that came out of an expression are no new one."""
    if isinstance(value, str) and is_template(value):
        return re.sub(r"\{(?=\{)", "{{ '{' }}", value)
    return value
