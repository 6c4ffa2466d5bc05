"""Published files of a release: its indexes, deltas, and the formats that clients read."""
