"""Audit: what an image must not hold, or only with a reason: policy, checks, findings."""
