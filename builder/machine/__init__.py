"""Machines under QEMU, for `colvert run` and for the tests."""
