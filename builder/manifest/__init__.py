"""Manifest: the typed model of an operating system, loaded with source positions."""
