"""Release: what tells of a version: update index, envelope, keys, deltas; SBOM and provenance."""
