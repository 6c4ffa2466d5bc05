"""Describe: SBOM, inventory, provenance, licences and the differences between releases."""
