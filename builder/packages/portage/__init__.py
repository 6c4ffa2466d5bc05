"""Portage, inside the SDK: its configuration, the resolver script and the build script."""
