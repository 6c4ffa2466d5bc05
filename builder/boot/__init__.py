"""Boot loaders: ways from firmware to a kernel, one module each.

A loader is a module of this package with a `LOADER` in it; a new one is found by being there.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from builder.boot.base import BootFiles, Firmware, Loader

__all__ = ["DEFAULT_LOADER", "LOADERS", "BootFiles", "Firmware", "Loader"]

# the loader of every image, as long as a manifest cannot name another
DEFAULT_LOADER = "systemd-boot"


def _find() -> Mapping[str, Loader]:
    modules = [import_module(f"{__name__}.{info.name}") for info in iter_modules(__path__)]
    found: list[Loader] = [module.LOADER for module in modules if hasattr(module, "LOADER")]
    return MappingProxyType({loader.name: loader for loader in sorted(found, key=lambda one: one.name)})


LOADERS: Mapping[str, Loader] = _find()
