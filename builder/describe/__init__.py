"""Descriptions of a release: SBOM, inventory, provenance, licences, differences."""
