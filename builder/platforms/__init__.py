"""Platforms: where a disk runs; one module and one template folder each."""
