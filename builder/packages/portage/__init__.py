"""Portage in the SDK: configuration, resolver script, build script."""
