"""Verify: a release or an image compared with its signed index; needs no build."""
