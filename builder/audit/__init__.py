"""Audit of an image: the policy, the checks, the findings."""
