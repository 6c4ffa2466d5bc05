"""Packages: from a plan to binary packages."""
