"""Platforms where a disk runs; one module and one template folder each.

A platform is a module of this package with a `PLATFORM` in it, and a folder of the same name
below `templates/`. It differs from the others in file format, metadata and the content of the
OEM partition, and in nothing else. A new one is found by being there.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from builder.platforms.base import Context, Need, Platform, Settings

__all__ = ["PLATFORMS", "Context", "Need", "Platform", "Settings"]


def _find() -> Mapping[str, Platform]:
    modules = [import_module(f"{__name__}.{info.name}") for info in iter_modules(__path__)]
    found = [module.PLATFORM for module in modules if hasattr(module, "PLATFORM")]
    return MappingProxyType({platform.name: platform for platform in sorted(found, key=lambda one: one.name)})


PLATFORMS: Mapping[str, Platform] = _find()
