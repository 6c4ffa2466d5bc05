"""Manifest: the typed model of an operating system, loaded with source positions."""

from builder.manifest.load import LoadedManifest, load
from builder.manifest.model import Manifest

__all__ = ["LoadedManifest", "Manifest", "load"]
