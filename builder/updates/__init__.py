"""Updates: what a release publishes: the index, deltas, and the formats that clients read."""
