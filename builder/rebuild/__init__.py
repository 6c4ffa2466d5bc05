"""Exports of sources, and second builds that must give the same bytes."""
