"""Stages, keys, store, scheduler and events; knows nothing of operating systems."""
