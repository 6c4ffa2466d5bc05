"""Stages: one module per arrow from manifest to platform image."""
