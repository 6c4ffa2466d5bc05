"""Typed model of an operating system, loaded with source positions."""
