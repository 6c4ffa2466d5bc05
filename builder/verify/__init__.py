"""Releases and images compared with their signed index; needs no build."""
