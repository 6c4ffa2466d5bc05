"""Packages from the plan to binary packages."""
