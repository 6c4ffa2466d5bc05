"""Signing: requests, phases, keys, policy, trust and signers of a release."""
