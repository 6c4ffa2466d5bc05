"""Sandbox: the one way to run a program, and the SDK it runs in."""
