"""Release: what tells machines of a new version: index, envelope, keys, deltas."""
