"""Pipeline: stages, keys, the store and progress; knows nothing of operating systems."""
