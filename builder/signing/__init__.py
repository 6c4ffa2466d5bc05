"""Signatures of a release: requests, phases, keys, policy, trust and signers."""
