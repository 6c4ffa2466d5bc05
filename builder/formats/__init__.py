"""Formats: file formats and the SDK's tools that write them."""
