"""Colvert: builds a minimal, verified, self-updating Linux from a manifest and ebuilds."""

__version__ = "0.1.0"
